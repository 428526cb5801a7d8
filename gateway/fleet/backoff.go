package fleet

import (
	"sync"
	"time"

	"davit/internal/faas"
)

const (
	startPause    = 100 * time.Millisecond // doubled with each failure
	startPauseMax = 30 * time.Second
	doublings     = 10
)

// backoffs delays the starts of revisions whose runners end before they have parked.
type backoffs struct {
	mu      sync.Mutex
	failing map[faas.RevisionRef]*startFailures
}

type startFailures struct {
	count int
	until time.Time
}

func newBackoffs() *backoffs { return &backoffs{failing: make(map[faas.RevisionRef]*startFailures)} }

// failed delays the next start of a revision; each failure in a row doubles the delay.
func (b *backoffs) failed(ref faas.RevisionRef, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f := b.failing[ref]
	if f == nil {
		f = &startFailures{}
		b.failing[ref] = f
	}
	f.count++
	f.until = now.Add(min(startPause<<min(f.count, doublings), startPauseMax))
}

// reset forgets the failures of a revision.
func (b *backoffs) reset(ref faas.RevisionRef) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.failing, ref)
}

// isDelayed reports whether a revision's next start has to wait.
func (b *backoffs) isDelayed(ref faas.RevisionRef, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	f := b.failing[ref]
	return f != nil && now.Before(f.until)
}
