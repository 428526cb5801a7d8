package register

import (
	"sync"

	"davit/internal/faas"
)

// build is the build of one revision on this gateway, from the queue to ready or failed.
type build struct {
	rev     *faas.Revision
	log     *buildLog
	before  *build        // the build of the same function that must be passed first; nil: none
	passed  chan struct{} // closed when the next build may start, of this function and of all
	pass    func()        // closes passed, once
	done    chan struct{} // closed when the build has ended on this gateway
	attempt int           // the attempt that this gateway claimed; 0: another gateway builds
	ran     bool          // on this gateway, so that log belongs to the attempt
	release func()        // releases the runners that wait for the revision to become live
}

func newBuild(rev *faas.Revision, before *build) *build {
	own := *rev
	b := &build{
		rev: &own, log: &buildLog{}, before: before,
		passed: make(chan struct{}), done: make(chan struct{}), release: func() {},
	}
	b.pass = sync.OnceFunc(func() { close(b.passed) })
	return b
}
