package task

// Exit codes of the runner program; any other code means that the runner was lost.
const (
	ExitDone        = 0 // drained, its one task done, or stopped while idle
	ExitStartFailed = 3 // the start process failed or was not ready in time; the last line of stderr says why
)
