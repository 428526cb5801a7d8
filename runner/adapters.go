package runner

import (
	"context"
	"errors"
	"io"

	"davit/internal/faas"
	"davit/runner/park"
	"davit/runner/work"
)

// worker is work.Worker as park sees it.
type worker struct{ *work.Worker }

// Take takes a slot.
func (w worker) Take(id faas.InvocationID) (park.Call, error) {
	c, err := w.Worker.Take(id)
	if err != nil {
		return nil, err
	}
	return call{c}, nil
}

// Find returns a call that is held.
func (w worker) Find(id faas.InvocationID) (park.Call, bool) {
	c, held := w.Worker.Find(id)
	return call{c}, held
}

// call is work.Call as park sees it.
type call struct{ *work.Call }

// Accept reads task and input.
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
	if a.Body != nil { // a nil *work.Body is no nil park.Result
		answer.Body = a.Body
	}
	return answer, nil
}
