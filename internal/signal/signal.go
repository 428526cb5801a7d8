// Package signal has the two ways in which goroutines of this program wake one another without a value: Wake, which one
// goroutine waits for, and Broadcast, which any number wait for. Neither loses a signal that is sent before the wait
// begins.
//
// It does not carry data and it does not order anything: who is woken reads the state that changed, under that state's
// lock.
package signal

import "sync"

// Wake wakes one goroutine. Signals that are sent while the goroutine is busy are merged into one. Make it with
// NewWake.
type Wake struct{ c chan struct{} }

// NewWake returns a Wake that is not set.
func NewWake() Wake { return Wake{make(chan struct{}, 1)} }

// Set wakes the goroutine that receives from C, now or when it receives next. It never blocks.
func (w Wake) Set() {
	select {
	case w.c <- struct{}{}:
	default:
	}
}

// C returns the channel that delivers one value for each Set that was not merged. A value is taken by one receiver.
func (w Wake) C() <-chan struct{} { return w.c }

// Broadcast wakes every goroutine that waits. Its zero value is ready for use; it must not be copied.
type Broadcast struct {
	mu sync.Mutex
	c  chan struct{}
}

// C returns a channel that is closed by the next Send. Call C before the state is read, and wait after: a Send in
// between is then not lost.
func (b *Broadcast) C() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.c == nil {
		b.c = make(chan struct{})
	}
	return b.c
}

// Send closes the channel that C returned since the last Send. It never blocks.
func (b *Broadcast) Send() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.c != nil {
		close(b.c)
		b.c = nil
	}
}
