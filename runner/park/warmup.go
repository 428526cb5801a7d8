package park

import (
	"io"
	"net"
	"time"

	"davit/internal/task"
)

// warmUp sends the slots' server an invalid request, so that the server's code is loaded before the first call arrives.
func (l *connections) warmUp() {
	ours, served := net.Pipe()
	defer ours.Close()
	select {
	case l.queue <- served:
	case <-l.life.Done():
		_ = served.Close()
		return
	}
	_ = ours.SetDeadline(time.Now().Add(writeWithin))
	_, err := io.WriteString(ours, "POST "+task.PathInvocations+"- HTTP/1.1\r\nHost: -\r\nContent-Length: 0\r\n\r\n")
	if err == nil {
		_, err = io.Copy(io.Discard, ours)
	}
	if err != nil {
		l.log.Debug("warming up failed", "error", err)
	}
}
