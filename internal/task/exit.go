package task

// Exit codes of the runner program; any other means that it was lost.
const (
	ExitDone        = 0 // ended in order: drained, its one task done, or stopped while idle
	ExitStartFailed = 3 // the start process failed or was not ready in time; stderr's last line says why
)
