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

// Worker runs the tasks that the gateways send.
type Worker interface {
	Slots
	Life
	Reporter
}

// Slots gives slots to calls.
type Slots interface {
	// Take takes a slot for an invocation, or returns an error if there is none.
	Take(id faas.InvocationID) (Call, error)
	// Find returns the call of an invocation that the worker has accepted.
	Find(id faas.InvocationID) (Call, bool)
	// Free returns the number of free slots.
	Free() int
}

// Life is the worker's readiness and end.
type Life interface {
	// Ready waits until calls can run. If it returns an error, the worker drains.
	Ready(ctx context.Context) error
	// Drain makes the worker refuse further calls.
	Drain(why string)
	// Done is closed when the worker drains and has forgotten all its calls.
	Done() <-chan struct{}
}

// Reporter reports what happens to the calls.
type Reporter interface {
	// Owned returns the invocations that were accepted and are not forgotten.
	Owned() []task.Owned
	// Events calls send with an EventSlots first and then with each event, in order.
	Events(ctx context.Context, send func(task.Event) error) error
	// Seq returns the number of the last event.
	Seq() int64
}

// Call is one invocation on the worker. The protocol's paths call its methods.
type Call interface {
	// Accept reads task and input to the body's end, the commit, and starts the command in the background. After an
	// error nothing ran and the slot is free again.
	Accept(ctx context.Context, body io.Reader) error
	// Answer waits for the outcome.
	Answer(ctx context.Context) (*Answer, error)
	// Log returns the log from byte from on, with follow to the call's end.
	Log(ctx context.Context, from int64, follow bool) (io.ReadCloser, error)
	Orders
}

// Orders are a gateway's orders for a call.
type Orders interface {
	Cancel()
	Keep()
	Ack()
}

// Answer is an outcome and its result.
type Answer struct {
	Outcome  task.Outcome
	Kind     string // "zip" or "file"
	Filename string // with "file": its base name
	Body     Result // nil when Outcome.Reason is set
}

// Result is a result as it is written. Read returns io.EOF only if the result is complete. The reader closes it.
type Result interface {
	io.ReadCloser
	// Sum returns the size and the hex SHA-256 of the result. It is called only after Read has returned io.EOF.
	Sum() (size int64, sha256 string)
}
