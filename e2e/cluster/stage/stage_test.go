package stage

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestAStageThatTakesLongIsHeardOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said strings.Builder
		log := New(&said, "test")
		if err := log.Run("quick", func(func(string)) error { return nil }); err != nil {
			t.Fatal(err)
		}
		broken := errors.New("broken")
		err := log.Run("slow", func(report func(string)) error {
			<-time.After(7 * time.Second)
			report("half of it")
			<-time.After(4 * time.Second)
			return broken
		})
		if !errors.Is(err, broken) {
			t.Errorf("the stage ends with %v", err)
		}
		const want = "test: quick: 0s\ntest: slow … 5s\ntest: slow … 10s half of it\ntest: slow: gave up after 11s\n"
		if said.String() != want {
			t.Errorf("said\n%swant\n%s", said.String(), want)
		}
	})
}
