package hub

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"davit/internal/faas"
	"davit/internal/task"
)

// Invoke sends the task and the body, and returns the answer once the command has
// ended. Nothing of Body.Stream is read before the runner took the call, and none
// after Invoke returned. commit (nil: none) is called when everything but the end
// of the body is with the runner; if it fails, nothing runs and the error is
// ErrNotRun and commit's. Other errors: ErrRefused, ErrNotRun, ErrInDoubt, *BodyError.
//
// When ctx ends before the commit the call ends as with ErrNotRun; after it the
// command goes on, and the error is ErrInDoubt and ctx's. Either waits for a Read of
// Body.Stream that is under way. ctx has no hold on the answer's body.
func (s *Slot) Invoke(ctx context.Context, t *task.Task, body Body, commit func(context.Context) error) (*Answer, error) {
	if !s.used.CompareAndSwap(false, true) {
		return nil, fmt.Errorf("invoke %s: the slot was used already: %w", s.invocation, ErrNotRun)
	}
	x := &exchange{slot: s, conn: s.conn, body: body}
	ans, err := x.call(ctx, t, commit)
	if err == nil {
		return ans, nil
	}
	s.roster.discard(s)
	x.hush()
	switch {
	case errors.Is(err, ErrInDoubt):
		s.roster.doubt(s.conn.runner, s.invocation)
	case x.assumed:
		s.roster.settleGone(s.conn.runner, s.invocation, ErrGone)
	}
	return nil, fmt.Errorf("invoke %s on %s: %w", s.invocation, s.conn.runner.hello.Runner, err)
}

// call is Invoke without what follows an error.
func (x *exchange) call(ctx context.Context, t *task.Task, commit func(context.Context) error) (*Answer, error) {
	x.conn.begin()
	stop := context.AfterFunc(ctx, x.conn.interrupt)
	resp, err := x.run(ctx, t, commit) //nolint:bodyclose // the answer closes it
	if !stop() && err == nil {         // answered at the moment of being interrupted
		err = x.broken(ctx, ctx.Err())
	}
	if err != nil {
		return nil, err
	}
	ans, err := newAnswer(resp, x.conn.runner.hello.Runner, x.finish(resp))
	if err == nil && !x.committed && ans.Outcome.Reason == "" {
		err = errors.New("it succeeded without its input")
	}
	if err != nil {
		return nil, x.broken(ctx, err)
	}
	return ans, nil
}

// run sends the call and returns the head of the final answer.
func (x *exchange) run(ctx context.Context, t *task.Task, commit func(context.Context) error) (*http.Response, error) {
	if err := x.offer(ctx, t); err != nil {
		return nil, err
	}
	if x.body.Stream != nil {
		switch err := x.stream(); {
		case errors.Is(err, errCutShort):
			return x.lastWord(ctx)
		case err != nil:
			return nil, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotRun, err)
	}
	if commit != nil {
		if err := commit(ctx); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNotRun, err)
		}
	}
	if err := x.commit(); err != nil {
		return x.lastWord(ctx)
	}
	return x.answer(ctx)
}

// lastWord reads the answer of a runner that stopped listening.
func (x *exchange) lastWord(ctx context.Context) (*http.Response, error) {
	x.conn.hurry()
	return x.answer(ctx)
}

// broken says what a call is that got no answer.
func (x *exchange) broken(ctx context.Context, cause error) error {
	if err := ctx.Err(); err != nil {
		cause = err
	}
	if x.committed {
		return fmt.Errorf("%w: %w", ErrInDoubt, cause)
	}
	return fmt.Errorf("%w: %w", ErrNotRun, cause)
}

// answer reads the final answer's head.
func (x *exchange) answer(ctx context.Context) (*http.Response, error) {
	x.hush()
	resp, err := x.conn.final()
	if err != nil {
		return nil, x.broken(ctx, err)
	}
	switch code := resp.StatusCode; {
	case code == http.StatusOK:
		return resp, nil
	case code == http.StatusRequestEntityTooLarge:
		return nil, fmt.Errorf("%w: %w", ErrNotRun, faas.Errorf(faas.TooLarge, "the body is larger than max_body allows"))
	case code >= http.StatusBadRequest:
		return nil, fmt.Errorf("%w: the runner answered %d", ErrNotRun, code)
	default:
		return nil, x.broken(ctx, fmt.Errorf("the runner answered %d", code))
	}
}

// finish returns what is to be done when the answer's body was read to its end, or not.
func (x *exchange) finish(resp *http.Response) func(whole bool) {
	return func(whole bool) {
		r := x.conn.runner
		if whole && x.committed && !resp.Close && r.hello.Start == faas.StartWarm && x.conn.br.Buffered() == 0 {
			x.slot.roster.back(x.slot, true)
			return
		}
		x.slot.roster.discard(x.slot)
	}
}
