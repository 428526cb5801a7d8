package testenv

import (
	"testing"
	"time"
)

// Patience is how long Eventually waits. It is far longer than anything takes, so that a loaded machine fails no test.
const Patience = time.Minute

// Eventually waits until holds returns true, and fails the test, naming what was waited for, when that takes longer than
// Patience. It must be called from the test's own goroutine, or within Returns.
func Eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	EventuallyWithin(t, Patience, what, holds)
}

// EventuallyWithin is Eventually with a patience of its own, for what takes longer, or must not take so long.
func EventuallyWithin(t testing.TB, patience time.Duration, what string, holds func() bool) {
	t.Helper()
	if !Becomes(patience, holds) {
		t.Fatalf("did not happen within %v: %s", patience, what)
	}
}

// Becomes waits until holds returns true, and reports whether it did within patience. It is for processes that a
// test starts, and for goroutines, which must not end the test; a test calls Eventually.
func Becomes(patience time.Duration, holds func() bool) bool {
	deadline := time.Now().Add(patience)
	for pause := time.Millisecond; !holds(); pause = min(2*pause, 20*time.Millisecond) {
		if time.Now().After(deadline) {
			return false
		}
		time.Sleep(pause)
	}
	return true
}

// Returns runs f in a goroutine of its own, and fails the test when f has not returned within patience. It is for a
// call that would otherwise wait for something that does not come. When f ends its goroutine by t.FailNow, Returns
// ends the test.
func Returns(t testing.TB, patience time.Duration, what string, f func()) {
	t.Helper()
	returned := make(chan bool, 1)
	go func() {
		whole := false
		defer func() { returned <- whole }()
		f()
		whole = true
	}()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case whole := <-returned:
		if !whole {
			t.FailNow()
		}
	case <-timer.C:
		t.Fatalf("did not return within %v: %s", patience, what)
	}
}
