package kube

// The functions of the suite are named after the end of their runners.
const (
	kindRuns        = "runs"
	kindEnds        = "ends"
	kindLost        = "lost"
	kindStartFailed = "start-failed"
	kindMemory      = "memory"
	kindNoImage     = "no-image"
	kindNoSecret    = "no-secret"
	kindHuge        = "huge"
	kindRefused     = "refused"
)
