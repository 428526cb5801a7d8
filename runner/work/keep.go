package work

import (
	"davit/internal/faas"
	"davit/internal/task"
	"davit/runner/scratch"
)

// isSkipped reports whether the command was not started because the backlog was full.
func (c *Call) isSkipped() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.uploads.skipped
}

func keepsAll(k faas.Keep) bool { return k == faas.KeepAll || k == "" }

// kept reports whether the call's objects are stored if o is its outcome.
func (c *Call) kept(o *task.Outcome) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	wanted := keepsAll(c.task.Keep) || c.task.Keep == faas.KeepFailed && o.Reason != ""
	return c.mustKeep() || wanted && !c.uploads.skipped
}

// mustKeep reports whether the call is kept whatever its function says. The caller holds c.mu.
func (c *Call) mustKeep() bool { return c.task.MustKeep || c.uploads.must }

// inputFile returns the input if it is to be stored.
func (c *Call) inputFile() *scratch.File {
	file, is := c.input.raw.(*scratch.File)
	if !is || c.task.Put.Input == "" {
		return nil
	}
	return file
}

// isPromised reports whether a caller was promised that the call is kept.
func (c *Call) isPromised() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mustKeep()
}
