package hub

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"davit/internal/faas"
	"davit/internal/task"
)

// Invoke sends the task and the body, and returns the answer when the command has ended. Invoke reads Body.Stream only
// after the runner took the call, and not after it returned. It calls commit (nil: none) when the runner has everything
// but the end of the body. If commit fails, nothing runs and the error is ErrNotRun and commit's. Other errors:
// ErrRefused, ErrNotRun, ErrInDoubt, *BodyError.
//
// If ctx ends before the commit, the error is ErrNotRun and ctx's. If ctx ends after it, the command goes on, and the
// error is ErrInDoubt and ctx's. Either way Invoke waits for a Read of Body.Stream that is under way. ctx does not
// bound the reading of the answer's body.
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
	x.waitForListener()
	switch {
	case errors.Is(err, ErrInDoubt):
		s.roster.markInDoubt(s.conn.runner, s.invocation)
	case x.assumed:
		s.roster.settleGone(s.conn.runner, s.invocation, ErrGone)
	}
	return nil, fmt.Errorf("invoke %s on %s: %w", s.invocation, s.conn.runner.hello.Runner, err)
}

// call does the work of Invoke, except the clean-up after an error.
func (x *exchange) call(ctx context.Context, t *task.Task, commit func(context.Context) error) (*Answer, error) {
	x.conn.begin()
	stop := context.AfterFunc(ctx, x.conn.interrupt)
	resp, err := x.run(ctx, t, commit) //nolint:bodyclose // the answer closes it
	if !stop() && err == nil {         // the answer came as ctx ended
		err = x.broken(ctx, ctx.Err())
	}
	if err != nil {
		return nil, err
	}
	ans, err := newAnswer(resp, x.conn.runner.hello.Runner, x.finish(resp))
	if err == nil && !x.committed && ans.Outcome.Reason == "" {
		err = errors.New("the runner reports success before it has the whole input")
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
			return x.earlyAnswer(ctx)
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
		return x.earlyAnswer(ctx)
	}
	return x.answer(ctx)
}

// earlyAnswer reads the answer of a runner that closed the connection for input.
func (x *exchange) earlyAnswer(ctx context.Context) (*http.Response, error) {
	x.conn.boundAnswer()
	return x.answer(ctx)
}

// broken returns the error of a call without an answer: ErrNotRun or ErrInDoubt, and its cause.
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
	x.waitForListener()
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

// finish returns the function to call after the answer's body was read: it parks the connection again if the body is
// whole and the runner is warm, else it closes it.
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
