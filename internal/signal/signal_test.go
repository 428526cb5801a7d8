package signal

import "testing"

func isReady(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// A signal that is sent before the wait is kept, and several are one.
func TestWakeMerges(t *testing.T) {
	w := NewWake()
	if isReady(w.C()) {
		t.Fatal("a new Wake is set")
	}
	w.Set()
	w.Set()
	if !isReady(w.C()) {
		t.Fatal("Set before the wait was lost")
	}
	if isReady(w.C()) {
		t.Fatal("two signals were not merged into one")
	}
}

// Send wakes those who asked for the channel before it, all of them, and nobody who asks later.
func TestBroadcast(t *testing.T) {
	var b Broadcast
	b.Send() // nobody waits
	first, second := b.C(), b.C()
	if isReady(first) || isReady(second) {
		t.Fatal("a Send of before C woke a waiter")
	}
	b.Send()
	if !isReady(first) || !isReady(second) {
		t.Fatal("Send did not wake every waiter")
	}
	if isReady(b.C()) {
		t.Fatal("Send woke a waiter that came later")
	}
}
