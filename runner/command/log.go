package command

import (
	"fmt"
	"io"
)

// Capped writes a given number of bytes to a writer, then a mark, and discards the rest. It must not be used
// concurrently.
type Capped struct {
	to   io.Writer
	most int64
	left int64
	cut  bool
}

// NewCapped returns a writer that writes at most the first most bytes to to.
func NewCapped(to io.Writer, most int64) *Capped { return &Capped{to: to, most: most, left: most} }

// Write implements io.Writer. Without an error it returns len(b), also for bytes that it discards.
func (c *Capped) Write(b []byte) (int, error) {
	pass := b[:min(int64(len(b)), c.left)]
	c.left -= int64(len(pass))
	if len(pass) > 0 {
		if _, err := c.to.Write(pass); err != nil {
			return 0, err
		}
	}
	if len(pass) < len(b) && !c.cut {
		c.cut = true
		if _, err := fmt.Fprintf(c.to, "\n[davit: the log is cut here, after %d bytes]\n", c.most); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}
