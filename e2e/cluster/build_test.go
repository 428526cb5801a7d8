package cluster

import (
	"os"
	"strings"
	"testing"
)

func TestMinIOIsThatOfTheOtherTests(t *testing.T) {
	text, err := os.ReadFile("../../hack/test-deps")
	if err != nil {
		t.Fatal(err)
	}
	if want := "minio_version=" + minioVersion + "\n"; !strings.Contains(string(text), want) {
		t.Errorf("hack/test-deps does not say %q", want)
	}
}
