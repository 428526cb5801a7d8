package faas

import (
	"slices"
	"time"
)

// State is where an invocation is in its life: queued → starting → running → succeeded, failed or cancelled. The last
// three never change.
type State string

// The states.
const (
	Queued         State = "queued"
	Starting       State = "starting"
	Running        State = "running"
	Succeeded      State = "succeeded"
	Failed         State = "failed"
	StateCancelled State = "cancelled"
)

// Final reports whether s never changes again.
func (s State) Final() bool { return s == Succeeded || s == Failed || s == StateCancelled }

// Phases are the times an invocation spent, each zero until known.
type Phases struct {
	Queue Duration `json:"queue,omitzero"` // accepted → a slot, or its start, was there to ask for
	Start Duration `json:"start,omitzero"` // bringing the runner up
	Input Duration `json:"input,omitzero"` // reading the input into the workspace
	Run   Duration `json:"run,omitzero"`   // the command
	Zip   Duration `json:"zip,omitzero"`   // collecting and zipping the result
	Store Duration `json:"store,omitzero"` // uploading input, result and log, beside the rest
}

// Input describes what the caller sent.
type Input struct {
	Size        int64  `json:"size"`
	SHA256      string `json:"sha256,omitempty"`
	ContentType string `json:"content_type,omitempty"`
	Stored      bool   `json:"stored"`
}

// ResultFile is one file in a result.
type ResultFile struct {
	Path string `json:"path"`
	Size int64  `json:"size"`
}

// MaxResultFiles is how many files of a result a record lists; the zip holds all.
const MaxResultFiles = 1000

// Result describes the zip of the files that the trigger names.
type Result struct {
	Size      int64        `json:"size"`
	SHA256    string       `json:"sha256,omitempty"`
	Stored    bool         `json:"stored"`
	ExpiresAt *time.Time   `json:"expires_at,omitempty"`
	Files     []ResultFile `json:"files,omitempty"` // the first MaxResultFiles
	FileCount int          `json:"file_count"`
}

// Invocation is the record of one run of one trigger's command. Its JSON is what users read, Redis holds and runners
// carry.
type Invocation struct {
	ID        InvocationID   `json:"id"`
	Function  FunctionName   `json:"function"`
	Revision  RevisionNumber `json:"revision"`
	Trigger   TriggerName    `json:"trigger"`
	Mode      Mode           `json:"mode"`
	Start     Start          `json:"start"` // null until it has one
	State     State          `json:"state"`
	Reason    *Reason        `json:"reason"`
	Detail    string         `json:"detail,omitempty"` // why, in a sentence
	ExitCode  *int           `json:"exit_code"`
	Signal    *string        `json:"signal"`
	Attempt   int            `json:"attempt"`
	CreatedAt time.Time      `json:"created_at"`
	StartedAt *time.Time     `json:"started_at"` // the command's start
	EndedAt   *time.Time     `json:"ended_at"`
	Phases    Phases         `json:"phases"`
	Input     *Input         `json:"input"`
	Result    *Result        `json:"result"`
	RequestID string         `json:"request_id,omitempty"` // the caller's correlation id

	Inner *Inner `json:"inner,omitempty"` // what Davit needs of it and users do not see
}

// Inner is the part of a record that is Davit's own.
type Inner struct {
	Accepted  bool      `json:"accepted,omitempty"`   // answered 202: final only when its result is stored
	Keep      Keep      `json:"keep,omitempty"`       // of the trigger, when it was called
	Retention Duration  `json:"retention,omitempty"`  // of the trigger, when it was called
	Private   bool      `json:"private,omitempty"`    // the trigger asks for a token
	Timeout   Duration  `json:"timeout,omitempty"`    // of the command
	Gateway   GatewayID `json:"gateway,omitempty"`    // that leads it now
	Runner    RunnerID  `json:"runner,omitempty"`     // that it is bound to: never sent elsewhere in this attempt
	LogSize   int64     `json:"log_size,omitempty"`   // bytes of the stored log; 0: none was written
	LogStored bool      `json:"log_stored,omitempty"` // the log is in the store
	Cancelled bool      `json:"cancelled,omitempty"`  // a cancel was asked for
	Task      []byte    `json:"task,omitempty"`       // while accepted and not final: what any gateway needs to run it
}

// Ref returns the revision that the invocation is pinned to.
func (i *Invocation) Ref() RevisionRef { return RevisionRef{Function: i.Function, Number: i.Revision} }

// End makes i final: cancelled when the reason is ReasonCancelled, failed for every other reason, succeeded when it is
// "".
func (i *Invocation) End(reason Reason, detail string, at time.Time) {
	i.Detail, i.EndedAt = detail, &at
	i.State, i.Reason = Succeeded, nil
	if reason != "" {
		i.Reason = &reason
		i.State = Failed
	}
	if reason == ReasonCancelled {
		i.State = StateCancelled
	}
}

// Clone returns a copy that shares nothing with i.
func (i *Invocation) Clone() *Invocation {
	c := *i
	c.Reason, c.ExitCode, c.Signal = copied(i.Reason), copied(i.ExitCode), copied(i.Signal)
	c.StartedAt, c.EndedAt = copied(i.StartedAt), copied(i.EndedAt)
	c.Input, c.Result, c.Inner = copied(i.Input), copied(i.Result), copied(i.Inner)
	if c.Result != nil {
		c.Result.ExpiresAt = copied(i.Result.ExpiresAt)
		c.Result.Files = slices.Clone(i.Result.Files)
	}
	if c.Inner != nil {
		c.Inner.Task = slices.Clone(i.Inner.Task)
	}
	return &c
}

func copied[T any](p *T) *T {
	if p == nil {
		return nil
	}
	v := *p
	return &v
}
