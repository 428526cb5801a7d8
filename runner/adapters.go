package runner

import (
	"context"
	"errors"
	"io"

	"davit/internal/faas"
	"davit/runner/park"
	"davit/runner/work"
)

// worker adapts a work.Worker to park.Worker.
type worker struct{ *work.Worker }

// Take takes a slot.
func (w worker) Take(id faas.InvocationID) (park.Call, error) {
	c, err := w.Worker.Take(id)
	if err != nil {
		return nil, err
	}
	return call{c}, nil
}

// Find returns the call of an invocation that the worker has accepted.
func (w worker) Find(id faas.InvocationID) (park.Call, bool) {
	c, held := w.Worker.Find(id)
	return call{c}, held
}

// call adapts a work.Call to park.Call.
type call struct{ *work.Call }

// Accept reads task and input. It returns park.ErrTooLarge for work.ErrTooLarge.
func (c call) Accept(ctx context.Context, body io.Reader) error {
	err := c.Call.Accept(ctx, body)
	if errors.Is(err, work.ErrTooLarge) {
		return errors.Join(park.ErrTooLarge, err)
	}
	return err
}

// Answer waits for the outcome.
func (c call) Answer(ctx context.Context) (*park.Answer, error) {
	a, err := c.Call.Answer(ctx)
	if err != nil {
		return nil, err
	}
	answer := &park.Answer{Outcome: a.Outcome, Kind: a.Kind, Filename: a.Filename}
	if a.Body != nil { // a nil *work.Body in a park.Result is not nil
		answer.Body = a.Body
	}
	return answer, nil
}
