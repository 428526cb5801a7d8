package dispatch

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"davit/gateway/hub"
	"davit/gateway/objects"
	"davit/internal/blob"
	"davit/internal/faas"
	"davit/internal/task"
)

// tasks completes the tasks of calls with what depends on the slot.
type tasks struct {
	signer   Signer
	progress *progress
	grace    time.Duration
}

// complete makes the task for one slot: the record so far, and URLs signed for this attempt.
func (ts *tasks) complete(ctx context.Context, c *call, slot *hub.Slot) (*task.Task, error) {
	t := *c.task
	hello := slot.Runner()
	ts.progress.bound(c, &hello)
	t.Record = *c.snapshot()
	t.Record.Inner.Task = nil
	t.MustKeep = t.Record.Inner.Accepted
	ttl := objects.SignedFor(ts.grace, t.Timeout)
	var err error
	sign := func(key blob.Key) string {
		var url string
		if err == nil {
			url, err = ts.signer.SignPut(ctx, key, ttl)
		}
		return url
	}
	if c.isStaged() {
		if t.InputURL, err = ts.inputURL(ctx, c, ttl); err != nil {
			return nil, err
		}
	} else if c.body.present() {
		t.Put.Input = sign(objects.Input(c.id))
	}
	t.Put.Result = sign(objects.Result(c.id, t.Record.Attempt))
	t.Put.Log = sign(objects.Log(c.id, t.Record.Attempt))
	t.Put.Outcome = sign(objects.Outcome(c.id, t.Record.Attempt))
	if err != nil {
		return nil, fmt.Errorf("sign the URLs of invocation %s: %w", c.id, err)
	}
	return &t, nil
}

func (ts *tasks) inputURL(ctx context.Context, c *call, ttl time.Duration) (string, error) {
	if in := c.record().Input; in == nil || in.Size == 0 {
		return "", nil
	}
	url, err := ts.signer.SignRunnerGet(ctx, objects.Input(c.id), ttl)
	if err != nil {
		return "", fmt.Errorf("sign the input of invocation %s: %w", c.id, err)
	}
	return url, nil
}

// packTask puts the task's template into the record, so that any gateway can lead the invocation.
func packTask(inv *faas.Invocation, t *task.Task) error {
	b, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("encode the task of invocation %s: %w", inv.ID, err)
	}
	inv.Inner.Task = b
	return nil
}

func unpackTask(inv *faas.Invocation) (*task.Task, error) {
	var t task.Task
	if inv.Inner == nil {
		return nil, fmt.Errorf("the record of invocation %s holds no task", inv.ID)
	}
	if err := json.Unmarshal(inv.Inner.Task, &t); err != nil {
		return nil, fmt.Errorf("decode the task of invocation %s: %w", inv.ID, err)
	}
	return &t, nil
}
