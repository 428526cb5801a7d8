package fleet

import (
	"context"
	"fmt"
	"io"
	"sync"

	"davit/internal/faas"
)

// mostLost is how many runners of a new revision may end before one has parked.
const mostLost = 3

// first is a registration that waits for a revision's first runner. firsts.mu guards it.
type first struct {
	ref    faas.RevisionRef
	others map[faas.RunnerID]bool // runners that were there before
	log    io.Writer              // the build's log
	ended  int                    // runners, before they parked
	cancel context.CancelCauseFunc
}

// lost counts a runner that ended before it parked. A failed start process ends the wait at once, because it would fail
// again.
func (f *first) lost(e *faas.Exit) {
	if e.Ref != f.ref || e.Start == faas.StartJob || e.Reason == "" || f.others[e.Runner] {
		return
	}
	if e.Reason == faas.ReasonStartFailed {
		f.cancel(&faas.Error{
			Kind: faas.BuildFailed, LogTail: e.LogTail,
			Detail: "its start process failed: " + e.Detail + "; correct start.command, or what it runs",
		})
		return
	}
	f.retry(e.Detail)
}

// retry lets the fleet start another runner, or ends the wait.
func (f *first) retry(detail string) {
	if f.ended++; f.ended >= mostLost {
		f.cancel(faas.Errorf(faas.BuildFailed, "%d runners ended before they were ready, the last one so: %s; the gateway's log has more", f.ended, detail))
		return
	}
	_, _ = fmt.Fprintf(f.log, "a runner ended before it was ready: %s; starting another\n", detail)
}

// firsts are the registrations that wait for first runners.
type firsts struct {
	mu      sync.Mutex
	stopped bool
	waiting map[*first]bool
}

func newFirsts() *firsts { return &firsts{waiting: make(map[*first]bool)} }

// enter reports exits to f until leave, unless the fleet has stopped.
func (fs *firsts) enter(f *first) bool {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if !fs.stopped {
		fs.waiting[f] = true
	}
	return !fs.stopped
}

func (fs *firsts) leave(f *first) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	delete(fs.waiting, f)
}

// stop ends every wait with cause, and lets nobody enter any more.
func (fs *firsts) stop(cause error) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.stopped = true
	for f := range fs.waiting {
		f.cancel(cause)
	}
}

// lost reports the end of a runner.
func (fs *firsts) lost(e *faas.Exit) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for f := range fs.waiting {
		f.lost(e)
	}
}

// notLaunched reports that no runner of a revision could be started. A part of Davit that is unavailable ends the wait
// at once.
func (fs *firsts) notLaunched(ref faas.RevisionRef, err error) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for f := range fs.waiting {
		switch {
		case f.ref != ref:
		case isUnavailable(err):
			f.cancel(err)
		default:
			f.retry(launchError(err).Detail)
		}
	}
}
