package testenv

import (
	"testing"
	"time"
)

// Patience is how long Eventually waits. It is far longer than any condition needs, so that no test fails because the
// machine is loaded.
const Patience = time.Minute

// Eventually waits until holds returns true. If that takes longer than Patience, it fails the test with the text what.
// It must be called from the test's own goroutine, or within Returns.
func Eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	EventuallyWithin(t, Patience, what, holds)
}

// EventuallyWithin is Eventually with another patience.
func EventuallyWithin(t testing.TB, patience time.Duration, what string, holds func() bool) {
	t.Helper()
	if !Becomes(patience, holds) {
		t.Fatalf("did not happen within %v: %s", patience, what)
	}
}

// Becomes waits until holds returns true, and reports whether it did within patience. It is for processes that a test
// starts, and for goroutines, because these must not end the test. A test itself calls Eventually.
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

// Returns runs f in a new goroutine, and fails the test if f has not returned within patience. It is for a call that
// could otherwise wait without end. If f calls t.FailNow, Returns ends the test.
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
