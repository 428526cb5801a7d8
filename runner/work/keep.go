package work

import (
	"davit/internal/faas"
	"davit/internal/task"
	"davit/runner/scratch"
)

// isSpare reports whether the call was not begun, since the store was too far behind.
func (c *Call) isSpare() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.uploads.spare
}

func keepsAll(k faas.Keep) bool { return k == faas.KeepAll || k == "" }

// kept reports whether a call with that outcome is kept.
func (c *Call) kept(o *task.Outcome) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	wanted := keepsAll(c.task.Keep) || c.task.Keep == faas.KeepFailed && o.Reason != ""
	return c.mustKeep() || wanted && !c.uploads.spare
}

// mustKeep is with c.mu held.
func (c *Call) mustKeep() bool { return c.task.MustKeep || c.uploads.must }

// inputFile returns the input if it is to be stored.
func (c *Call) inputFile() *scratch.File {
	file, is := c.input.raw.(*scratch.File)
	if !is || c.task.Put.Input == "" {
		return nil
	}
	return file
}

// isPromised reports whether a caller was told that the call is kept.
func (c *Call) isPromised() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mustKeep()
}
