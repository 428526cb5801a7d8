package edge

import (
	"os"
	"regexp"
	"slices"
	"strconv"
	"testing"
)

// Older ones accept shapes of requests that others read differently.
func TestFloors(t *testing.T) {
	mod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for pattern, floor := range map[string][3]int{
		`(?m)github.com/valyala/fasthttp v(\d+)\.(\d+)\.(\d+)\b`: {1, 77, 0},
		`(?m)^go (\d+)\.(\d+)\.(\d+)$`:                           {1, 26, 6},
	} {
		found := regexp.MustCompile(pattern).FindStringSubmatch(string(mod))
		if found == nil {
			t.Fatalf("go.mod has no %s", pattern)
		}
		var version [3]int
		for i := range version {
			version[i], _ = strconv.Atoi(found[i+1])
		}
		if slices.Compare(version[:], floor[:]) < 0 {
			t.Errorf("%s is below %v", found[0], floor)
		}
	}
}
