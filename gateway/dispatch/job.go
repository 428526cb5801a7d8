package dispatch

import "sync/atomic"

// job is the runner that was launched for one call. Its fields but running belong to the goroutine that claims.
type job struct {
	running atomic.Bool     // launched, and not stopped since
	stopped <-chan struct{} // closed when the previous one has been stopped; nil: there was none
	uncover func()          // ends the note to the fleet that the call waits for a job
}
