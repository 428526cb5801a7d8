package command

import (
	"fmt"
	"io"
)

// Capped passes so many bytes on to a writer, then a mark, and takes the rest
// without passing it on. It is for one goroutine.
type Capped struct {
	to   io.Writer
	most int64
	left int64
	cut  bool
}

// NewCapped returns a writer that passes most bytes on to to.
func NewCapped(to io.Writer, most int64) *Capped { return &Capped{to: to, most: most, left: most} }

// Write implements io.Writer; it takes all of b.
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
