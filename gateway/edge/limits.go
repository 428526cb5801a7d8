package edge

import (
	"cmp"
	"time"
)

// Limits bound what callers can make a Server wait for and keep in memory. The zero value of each means its default.
type Limits struct {
	Header      time.Duration // for the whole header to arrive, from its first byte; 10 s
	Body        time.Duration // between two pieces of a body; 60 s
	Write       time.Duration // for writing one piece of an answer; 60 s
	Idle        time.Duration // of a connection before its first and between two requests; 2 min, because common clients close an idle connection after 90 s and should do so first
	HeaderBytes int           // of a request line with its headers; 32 KiB
	Connections int           // open at once; 4096
}

func (l Limits) withDefaults() Limits {
	l.Header = cmp.Or(l.Header, 10*time.Second)
	l.Body = cmp.Or(l.Body, 60*time.Second)
	l.Write = cmp.Or(l.Write, 60*time.Second)
	l.Idle = cmp.Or(l.Idle, 2*time.Minute)
	l.HeaderBytes = cmp.Or(l.HeaderBytes, 32<<10)
	l.Connections = cmp.Or(l.Connections, 4096)
	return l
}
