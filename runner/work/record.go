package work

import (
	"strings"

	"davit/internal/faas"
	"davit/internal/task"
)

func (c *Call) copyRecord() *faas.Invocation {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.record.Clone()
}

// logTail fills in the log's size and, after a failure, its end.
func (c *Call) logTail(o *task.Outcome) {
	o.LogSize = c.log.Size()
	if o.Reason != "" && o.LogTail == "" {
		o.LogTail = strings.ToValidUTF8(string(c.log.Tail(task.LogTailBytes)), "\ufffd")
	}
}
