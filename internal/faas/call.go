package faas

import (
	"io"
	"time"
)

// Call is one HTTP request to a trigger, as the edge hands it to the dispatcher. Nothing in it is borrowed from the
// request.
type Call struct {
	Match       Match
	Method      string
	Path        string
	Query       string      // raw, without Davit's own parameters
	Headers     [][2]string // without credentials
	ContentType string
	Traceparent string
	RequestID   string         // the caller's own
	Body        io.Reader      // nil: none; its error is an *Error when the body is too large or broken
	Size        int64          // of the body; -1: unknown
	Wait        *time.Duration // the caller's own wait budget
	Async       bool           // answer 202 as soon as record and input are stored
	Mode        Mode           // "" or the stricter mode that the caller asked for
	Zip         bool           // answer with the zip, whatever the trigger says
	Gone        <-chan struct{}
}

// Reply is the answer to a call whose command succeeded, or that was accepted.
type Reply struct {
	Invocation *Invocation   // as known now
	Accepted   bool          // 202: the caller asks for the result by id
	Kind       string        // of the body: "zip" or "file"
	Filename   string        // with "file"
	Body       io.ReadCloser // nil when Accepted; an error other than EOF means that the body is not whole
}
