package work

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"davit/internal/faas"
	"davit/internal/task"
	"davit/runner/scratch"
)

const (
	// storeExtra is how long a call's signed URLs are valid after its deadline.
	storeExtra = 5 * time.Minute
	// inputDelay is how long a command runs before its input is uploaded, so that no upload slows down a short call.
	inputDelay = 200 * time.Millisecond
)

// keep keeps the call, unless it has ended: the input is stored at once, and the result when the call has ended.
func (u *uploads) keep() {
	u.mu.Lock()
	late := u.fixed
	if !late {
		u.must = true
	}
	u.mu.Unlock()
	if late {
		return
	}
	if in := u.input.describe(); in.Stored {
		u.w.publish(task.Event{Kind: task.EventInputStored, Invocation: u.task.Record.ID, Input: in})
		return
	}
	u.storeInput()
}

// fix makes keep do nothing from now on, because the call has ended.
func (u *uploads) fix() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.fixed = true
}

// isPromised reports whether the call is kept whatever its function says, because a gateway has promised this to the
// caller.
func (u *uploads) isPromised() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.isPromisedLocked()
}

func (u *uploads) isPromisedLocked() bool { return u.task.MustKeep || u.must }

// isSkipped reports whether the command was not started because the backlog was full.
func (u *uploads) isSkipped() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.skipped
}

func keepsAll(k faas.Keep) bool { return k == faas.KeepAll || k == "" }

// wants reports whether the call's objects are stored if o is its outcome.
func (u *uploads) wants(o *task.Outcome) bool {
	if u.task.Put == (task.Put{}) {
		return false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	wanted := keepsAll(u.task.Keep) || u.task.Keep == faas.KeepFailed && o.Reason != ""
	return u.isPromisedLocked() || wanted && !u.skipped
}

// awaitBacklog waits while the backlog is full, if the call may be stored.
func (u *uploads) awaitBacklog(ctx context.Context) error {
	if !u.isPromised() && u.task.Keep == faas.KeepNone || u.task.Put == (task.Put{}) {
		return nil
	}
	err := u.w.backlog.wait(ctx)
	if errors.Is(err, errBacklogFull) {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.skipped = true
	}
	return err
}

// addToBacklog adds the call, whose result has so many bytes, to the backlog if it is to be uploaded; done removes it.
func (u *uploads) addToBacklog(o *task.Outcome, result int64) (done func()) {
	if !u.wants(o) {
		return func() {}
	}
	bytes := u.log.Size() + result
	if file := u.input.toStore(); file != nil {
		bytes += file.Size()
	}
	return u.w.backlog.add(bytes)
}

// watchInput stores the input: at once if the call must be kept, else when the command has run for inputDelay.
func (u *uploads) watchInput() {
	if u.input.toStore() == nil {
		return
	}
	switch {
	case u.task.MustKeep:
		u.storeInput()
	case keepsAll(u.task.Keep):
		u.mu.Lock()
		defer u.mu.Unlock()
		u.timer = time.AfterFunc(inputDelay, u.storeInput)
	}
}

// stopTimer stops what watchInput began.
func (u *uploads) stopTimer() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.timer != nil {
		u.timer.Stop()
	}
}

// storeInput starts the upload of the input, once.
func (u *uploads) storeInput() {
	file := u.input.toStore()
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.begun || file == nil {
		return
	}
	u.begun = true
	u.inputDone.Add(1)
	if !u.w.background(func() { u.putInput(file) }) {
		u.inputDone.Done()
	}
}

func (u *uploads) putInput(file *scratch.File) {
	defer u.inputDone.Done()
	// The command may not have started yet.
	ctx, cancel := context.WithDeadline(u.w.life, u.w.now().Add(u.task.Timeout.Std()+storeExtra))
	defer cancel()
	o := object{of: u.task, what: task.PartInput, to: u.task.Put.Input, contentType: u.task.Request.ContentType, file: file}
	if !u.w.uploader.put(ctx, &o) {
		return
	}
	u.mu.Lock()
	u.inputStored = true
	u.mu.Unlock()
	u.w.publish(task.Event{Kind: task.EventInputStored, Invocation: u.task.Record.ID, Input: u.record.setInputStored()})
}

// awaitInput waits until the upload of the input has ended, and reports whether the input is stored.
func (u *uploads) awaitInput() bool {
	u.inputDone.Wait()
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.inputStored
}

// store uploads input, result and log until deadline. It returns the outcome, changed to say which of them are stored.
func (u *uploads) store(deadline time.Time, o *task.Outcome, zip *scratch.File) *task.Outcome {
	ctx, cancel := context.WithDeadline(u.w.life, deadline)
	defer cancel()
	begun := u.w.now()
	stored := *o
	whole := true
	u.storeInput()
	if in := *o.Input; !in.Stored {
		in.Stored = u.awaitInput()
		whole = in.Stored
		stored.Input = &in
	}
	if put := u.task.Put.Result; o.Result != nil && zip != nil && put != "" {
		r := *o.Result
		r.Stored = u.w.uploader.put(ctx, &object{of: u.task, what: task.PartResult, to: put, contentType: "application/zip", file: zip})
		whole = whole && r.Stored
		stored.Result = &r
	}
	if put := u.task.Put.Log; o.LogSize > 0 && put != "" {
		stored.LogStored = u.w.uploader.put(ctx, &object{of: u.task, what: task.PartLog, to: put, contentType: "text/plain; charset=utf-8", file: u.log})
	}
	stored.Phases.Store = faas.Duration(u.w.now().Sub(begun))
	if !whole && u.isPromised() && stored.Reason == "" {
		stored.Reason, stored.Detail = faas.ReasonStoreUnavailable, "the command succeeded, but its input or its result cannot be stored"
	}
	return &stored
}

// storeOutcome stores the outcome until deadline, for a gateway that no longer finds the call on the runner. It is the
// last object of a call, so that a gateway that finds it finds the others, too.
func (u *uploads) storeOutcome(deadline time.Time, o *task.Outcome) bool {
	if u.task.Put.Outcome == "" {
		return false
	}
	b, err := json.Marshal(o)
	if err != nil {
		u.w.log.Error("outcome cannot be written", "invocation", u.task.Record.ID, "error", err)
		return false
	}
	ctx, cancel := context.WithDeadline(u.w.life, deadline)
	defer cancel()
	file := scratch.New(u.w.scratch)
	defer file.Release()
	_, _ = file.Write(b) // put returns its error
	file.Finish()
	return u.w.uploader.put(ctx, &object{of: u.task, what: "outcome", to: u.task.Put.Outcome, contentType: "application/json", file: file})
}
