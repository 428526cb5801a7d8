package register

import "davit/internal/faas"

// build is one revision on its way from building to ready or failed.
type build struct {
	rev     *faas.Revision
	log     *buildLog
	after   *build        // of the same function, which comes first
	passed  chan struct{} // closed when the next of the function, and another build, may begin
	pass    func()        // does that, once
	done    chan struct{} // closed when it is over here
	attempt int           // that this gateway claimed; 0: another one builds
	ran     bool          // here, so that the log is of this build
	release func()        // lets go of the runners that wait for the revision to be live
}
