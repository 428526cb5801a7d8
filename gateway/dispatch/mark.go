package dispatch

import "sync"

// mark is something that happens once, and that can be waited for.
type mark struct {
	done chan struct{} // closed when it has happened
	once sync.Once
}

func newMark() *mark { return &mark{done: make(chan struct{})} }

// set notes that it happened, and reports whether this was the first to say so.
func (m *mark) set() (first bool) {
	m.once.Do(func() {
		close(m.done)
		first = true
	})
	return first
}

// isSet reports whether it happened.
func (m *mark) isSet() bool {
	select {
	case <-m.done:
		return true
	default:
		return false
	}
}
