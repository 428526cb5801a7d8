package park

import (
	"context"
	"errors"
	"io"

	"davit/internal/faas"
	"davit/internal/task"
)

// ErrTooLarge is what Call.Accept returns for a body larger than the task's MaxBody.
var ErrTooLarge = errors.New("the body is larger than max_body")

// Worker is what runs the tasks that park brings.
type Worker interface {
	Slots
	Life
	Teller
}

// Slots gives places to calls.
type Slots interface {
	// Take takes a slot for an invocation, or returns an error if there is none.
	Take(id faas.InvocationID) (Call, error)
	// Find returns the call that holds an invocation.
	Find(id faas.InvocationID) (Call, bool)
	// Free returns how many slots a Take would find.
	Free() int
}

// Life is the worker's.
type Life interface {
	// Ready waits until calls can run. If it fails the worker drains.
	Ready(ctx context.Context) error
	// Drain takes no more calls.
	Drain(why string)
	// Done is closed when the worker drains and holds nothing more.
	Done() <-chan struct{}
}

// Teller tells what happens to the calls.
type Teller interface {
	// Held returns what was accepted and not yet acknowledged.
	Held() []task.Held
	// Events calls tell with an EventSlots first and then with each event, in order.
	Events(ctx context.Context, tell func(task.Event) error) error
	// Seq is the number of the last event.
	Seq() int64
}

// Call is one invocation on the worker. Its methods are what the protocol's paths ask for.
type Call interface {
	// Accept reads task and input to the body's end, the commit, and starts the
	// command in the background. When it fails nothing ran and the slot is free again.
	Accept(ctx context.Context, body io.Reader) error
	// Answer waits for the outcome.
	Answer(ctx context.Context) (*Answer, error)
	// Log returns the log from a byte on, with follow to the call's end.
	Log(ctx context.Context, from int64, follow bool) (io.ReadCloser, error)
	Orders
}

// Orders are what a gateway may say about a call.
type Orders interface {
	Cancel()
	Keep()
	Ack()
}

// Answer is an outcome and the result that goes with it.
type Answer struct {
	Outcome  task.Outcome
	Kind     string // "zip" or "file"
	Filename string // with "file": its base name
	Body     Result // nil when Outcome.Reason is set
}

// Result is read to io.EOF, which comes only when it is whole, and closed.
type Result interface {
	io.ReadCloser
	// Sum returns what was read: its size, and its SHA-256 in hex. It is asked after io.EOF.
	Sum() (size int64, sha256 string)
}
