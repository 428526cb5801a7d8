package api

import (
	"context"
	"io"
	"time"

	"davit/gateway/register"
	"davit/gateway/register/form"
	"davit/internal/blob"
	"davit/internal/faas"
)

// Matcher finds the trigger for a request. See route.Table for its errors.
type Matcher interface {
	Match(method, rawPath string) (faas.Match, error)
}

// Caller runs triggers.
type Caller interface {
	// Call runs a trigger's command. Call does not read call.Body after it has returned; the reply's body can be read
	// until ctx ends.
	Call(ctx context.Context, call *faas.Call) (*faas.Reply, error)
}

// Records reads invocations.
type Records interface {
	// Find returns the record once it is final, and after wait in any state.
	Find(ctx context.Context, id faas.InvocationID, wait time.Duration) (*faas.Invocation, error)
	// List returns the newest records first. next is the cursor of the next page; "" if there is none.
	List(ctx context.Context, f faas.InvocationFilter) (items []*faas.Invocation, next string, err error)
}

// Results reads the inputs and results of invocations from the store.
type Results interface {
	// Result opens a result; it waits for an upload in progress. It returns NotFound if there is no result, and Gone if
	// the result has expired.
	Result(ctx context.Context, id faas.InvocationID) (blob.Info, blob.Opener, *faas.Invocation, error)
	// ResultURL returns a signed URL with which anybody may GET the result for ttl.
	ResultURL(ctx context.Context, id faas.InvocationID, ttl time.Duration) (string, error)
	// Input returns what the caller sent.
	Input(ctx context.Context, id faas.InvocationID) (blob.Info, io.ReadCloser, error)
}

// Runs reads the logs of invocations and cancels them.
type Runs interface {
	// Log reads the log from an offset in bytes; with follow, the log goes on to the end of the invocation. Reads fail
	// when ctx ends.
	Log(ctx context.Context, id faas.InvocationID, from int64, follow bool) (io.ReadCloser, error)
	// Cancel requests the end of an invocation and returns its record, which may not be final yet.
	Cancel(ctx context.Context, id faas.InvocationID) (*faas.Invocation, error)
}

// Invocations is everything that this package needs of invocations.
type Invocations interface {
	Records
	Results
	Runs
}

// FunctionReader reads registered functions. The Find methods return NotFound for unknown names.
type FunctionReader interface {
	FindFunction(ctx context.Context, name faas.FunctionName) (*faas.Function, error)
	FindRevision(ctx context.Context, ref faas.RevisionRef) (*faas.Revision, error)
	ListFunctions(ctx context.Context, limit int, cursor string) (items []*faas.Function, next string, err error)
	ListRevisions(ctx context.Context, name faas.FunctionName, limit int, cursor string) (items []*faas.Revision, next string, err error)
}

// TriggerReader reads registered triggers. FindTrigger returns NotFound for an unknown name.
type TriggerReader interface {
	FindTrigger(ctx context.Context, name faas.TriggerName) (*faas.Trigger, error)
	ListTriggers(ctx context.Context, limit int, cursor string) (items []*faas.Trigger, next string, err error)
}

// FunctionRegistrar registers functions. It completes and checks the specs.
type FunctionRegistrar interface {
	// PutSource reads source to its end. It registers nothing if a read fails.
	PutSource(ctx context.Context, name faas.FunctionName, spec faas.FunctionSpec, source io.Reader) (*register.Registered, error)
	PutImage(ctx context.Context, name faas.FunctionName, spec faas.FunctionSpec) (*register.Registered, error)
	// WaitReady returns the revision once it is ready or has failed, and after most in any state.
	WaitReady(ctx context.Context, ref faas.RevisionRef, most time.Duration) (*faas.Revision, error)
}

// FunctionChanger changes registered functions.
type FunctionChanger interface {
	DeleteFunction(ctx context.Context, name faas.FunctionName, withTriggers bool) error
	Rollback(ctx context.Context, name faas.FunctionName, number faas.RevisionNumber) error
	// BuildLog reads a revision's build log; with follow, the log goes on to the end of the build.
	BuildLog(ctx context.Context, ref faas.RevisionRef, follow bool) (io.ReadCloser, error)
}

// TriggerRegistrar registers triggers. It completes and checks the specs.
type TriggerRegistrar interface {
	PutTrigger(ctx context.Context, name faas.TriggerName, spec faas.TriggerSpec) (t *faas.Trigger, created bool, err error)
	DeleteTrigger(ctx context.Context, name faas.TriggerName) error
}

// FormRegistrar registers what the original's form, POST /register, sends.
type FormRegistrar interface {
	RegisterForm(ctx context.Context, f *form.Form) (*form.Result, error)
}

// SecretStore keeps the secrets of functions. It never returns values.
type SecretStore interface {
	// Put stores a value under a name; created is false if it replaced a value.
	Put(ctx context.Context, name faas.SecretName, value string) (created bool, err error)
	Find(ctx context.Context, name faas.SecretName) (*faas.Secret, error)
	List(ctx context.Context, limit int, cursor string) (items []*faas.Secret, next string, err error)
	// Delete deletes a secret. It returns Conflict while a function uses the secret.
	Delete(ctx context.Context, name faas.SecretName) error
}

// SessionStore keeps for all gateways which sessions have not ended.
type SessionStore interface {
	// StartSession keeps a session until EndSession, for at most ttl.
	StartSession(ctx context.Context, id string, ttl time.Duration) error
	HasSession(ctx context.Context, id string) (bool, error)
	EndSession(ctx context.Context, id string) error
}

// Prober checks a dependency. Ready returns nil if the dependency is available.
type Prober interface {
	Ready(ctx context.Context) error
}

// Subscriber reports changes. The channel is closed by cancel, or when the reader is so slow that changes would be
// lost.
type Subscriber interface {
	Subscribe() (changes <-chan Change, cancel func())
}

// Change names an object that has changed. It does not contain the new state: the reader requests that.
type Change struct {
	Kind     string `json:"kind"` // "invocation", "registrations", or "resync": anything may have changed
	ID       string `json:"id,omitempty"`
	State    string `json:"state,omitempty"`
	Function string `json:"function,omitempty"`
	Trigger  string `json:"trigger,omitempty"`
}

// Requests counts answered requests by their route's template.
type Requests interface {
	Counted(listener, route, method string, code int)
}
