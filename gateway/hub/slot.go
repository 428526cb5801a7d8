package hub

import (
	"context"
	"io"

	"davit/gateway/faas"
	"davit/internal/task"
)

// Want says which slot a call can use.
type Want struct {
	Ref        faas.RevisionRef
	Invocation faas.InvocationID
	Starts     []faas.Start // in order of preference; a job's runner is claimed by its own invocation only
}

// Slot is a claimed place on a runner, for one Invoke.
type Slot struct {
	hello *task.Hello
}

// TryClaim takes a free slot, or returns nil.
func (h *Hub) TryClaim(_ Want) *Slot { return nil }

// Claim takes a free slot, or waits for one until ctx ends. Those who wait for the
// same revision are served in order.
func (h *Hub) Claim(ctx context.Context, _ Want) (*Slot, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// Runner returns what the slot's runner said of itself, without what it holds.
func (s *Slot) Runner() task.Hello { return *s.hello }

// Release gives a slot back that was not used. After Invoke it does nothing.
func (s *Slot) Release() {}

// Body is a call's input: Small, or Stream when that is set, or none.
type Body struct {
	Small  []byte    // at most MaxSmall bytes, kept by the caller to be offered elsewhere
	Stream io.Reader // read only after the runner took the call
	Size   int64     // of Stream; -1: unknown. A stream of another length is a *BodyError
}

// MaxSmall is the most bytes that Body.Small may have.
const MaxSmall = 64 << 10

// Answer is an outcome and the result that goes with it.
type Answer struct {
	Outcome  task.Outcome
	Kind     string // of Body: "zip" or "file"; "" when there is none
	Filename string // with "file"
	// Body gives EOF only when size and SHA-256 are what the runner says, else
	// io.ErrUnexpectedEOF: a part never looks whole. Read to its end, it frees the
	// connection for the next call; closed before, it gives the connection up, not
	// the invocation. Never nil.
	Body io.ReadCloser
}

// Invoke sends the task and the body, and returns the answer once the command has
// ended. Nothing of Body.Stream is read before the runner took the call, and none
// after Invoke returned. commit (nil: none) is called when everything but the end
// of the body is with the runner; if it fails, nothing runs and the error is
// ErrNotRun and commit's. Other errors: ErrRefused, ErrNotRun, ErrInDoubt, *BodyError.
//
// When ctx ends before the commit the call ends as with ErrNotRun; after it the
// command goes on, and the error is ErrInDoubt and ctx's. ctx has no hold on the
// answer's body.
func (s *Slot) Invoke(_ context.Context, _ *task.Task, _ Body, _ func(context.Context) error) (*Answer, error) {
	return nil, ErrRefused
}
