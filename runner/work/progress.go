package work

import (
	"sync"
	"time"
)

// progress is how far a call has come, and who still needs it. A call is over when its uploads have ended, a gateway
// has acknowledged its outcome and it has no reader.
type progress struct {
	mu       sync.Mutex
	accepted bool
	givenUp  bool // nothing is to be done for the call any more
	uploaded bool // the uploads have ended
	acked    bool
	readers  int  // readers of an answer and goroutines that wait for one
	expected bool // one reader is the gateway that posted the call and has not called Answer yet
	expiry   *time.Timer
}

// accept marks the call as accepted. It returns false if the call was given up or accepted before. It counts the first
// reader ahead, so that the call is not over before the gateway that posted it has asked for the answer.
func (p *progress) accept() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.givenUp || p.accepted {
		return false
	}
	p.accepted, p.readers, p.expected = true, 1, true
	return true
}

func (p *progress) isAccepted() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.accepted
}

func (p *progress) isUploaded() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.uploaded
}

// giveBack gives up a call whose command did not run: it is no longer accepted. It returns false if the call was given
// up before.
func (p *progress) giveBack() (first bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	first = !p.givenUp
	p.givenUp, p.accepted = true, false
	return first
}

// giveUp gives up a call that was accepted. It returns false if the call was given up before.
func (p *progress) giveUp() (first bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.giveUpLocked()
}

func (p *progress) giveUpLocked() (first bool) {
	first = !p.givenUp
	p.givenUp = true
	if p.expiry != nil {
		p.expiry.Stop()
	}
	return first
}

// addReader keeps the call from being over until removeReader. It returns false if the call was given up.
func (p *progress) addReader() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.givenUp:
		return false
	case p.expected:
		p.expected = false
	default:
		p.readers++
	}
	return true
}

func (p *progress) removeReader() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.readers--
}

func (p *progress) ack() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.acked = true
}

// endUploads records that the uploads have ended. While no gateway has acknowledged the outcome, it starts a timer by
// expiry.
func (p *progress) endUploads(expiry func() *time.Timer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.uploaded = true
	if !p.acked && !p.givenUp {
		p.expiry = expiry()
	}
}

// finish gives up a call that is over. It returns true once.
func (p *progress) finish() (first bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.uploaded && p.acked && p.readers == 0 && p.giveUpLocked()
}
