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

// Matcher finds the trigger for a request; route.Table says what it answers.
type Matcher interface {
	Match(method, rawPath string) (faas.Match, error)
}

// Caller runs triggers.
type Caller interface {
	// Call runs a trigger's command. It reads call.Body, if at all, before it
	// returns; the reply's body may be read after that, as long as ctx lives.
	Call(ctx context.Context, call *faas.Call) (*faas.Reply, error)
}

// Records reads invocations.
type Records interface {
	// Find returns the record; it waits at most so long for it to be final.
	Find(ctx context.Context, id faas.InvocationID, wait time.Duration) (*faas.Invocation, error)
	// List lists newest first.
	List(ctx context.Context, f faas.InvocationFilter) (items []*faas.Invocation, next string, err error)
}

// Results reads what invocations left in the store.
type Results interface {
	// Result waits for an upload under way. NotFound when there is none, Gone when it has expired.
	Result(ctx context.Context, id faas.InvocationID) (blob.Info, blob.Opener, *faas.Invocation, error)
	// ResultURL signs a URL that anybody may GET the result with for so long.
	ResultURL(ctx context.Context, id faas.InvocationID, ttl time.Duration) (string, error)
	// Input returns what the caller sent.
	Input(ctx context.Context, id faas.InvocationID) (blob.Info, io.ReadCloser, error)
}

// Runs looks into running invocations.
type Runs interface {
	// Log reads the log from an offset; with follow it goes on to the end of the
	// invocation. Reads end when ctx does.
	Log(ctx context.Context, id faas.InvocationID, from int64, follow bool) (io.ReadCloser, error)
	// Cancel asks for the end of an invocation and returns the record as it is then.
	Cancel(ctx context.Context, id faas.InvocationID) (*faas.Invocation, error)
}

// Invocations is all that the edge needs of invocations.
type Invocations interface {
	Records
	Results
	Runs
}

// FunctionReader reads registered functions; NotFound when there is none.
type FunctionReader interface {
	FindFunction(ctx context.Context, name faas.FunctionName) (*faas.Function, error)
	FindRevision(ctx context.Context, ref faas.RevisionRef) (*faas.Revision, error)
	ListFunctions(ctx context.Context, limit int, cursor string) (items []*faas.Function, next string, err error)
	ListRevisions(ctx context.Context, name faas.FunctionName, limit int, cursor string) (items []*faas.Revision, next string, err error)
}

// TriggerReader reads registered triggers; NotFound when there is none.
type TriggerReader interface {
	FindTrigger(ctx context.Context, name faas.TriggerName) (*faas.Trigger, error)
	ListTriggers(ctx context.Context, limit int, cursor string) (items []*faas.Trigger, next string, err error)
}

// FunctionRegistrar registers functions. It has the specs completed and checked.
type FunctionRegistrar interface {
	// PutSource reads source to its end; when that fails, nothing is registered.
	PutSource(ctx context.Context, name faas.FunctionName, spec faas.FunctionSpec, source io.Reader) (*register.Registered, error)
	PutImage(ctx context.Context, name faas.FunctionName, spec faas.FunctionSpec) (*register.Registered, error)
	// WaitReady returns the revision once it is ready or has failed, and after that long in any state.
	WaitReady(ctx context.Context, ref faas.RevisionRef, most time.Duration) (*faas.Revision, error)
}

// FunctionChanger changes functions that are there.
type FunctionChanger interface {
	DeleteFunction(ctx context.Context, name faas.FunctionName, withTriggers bool) error
	Rollback(ctx context.Context, name faas.FunctionName, number faas.RevisionNumber) error
	// BuildLog reads a revision's build log; with follow it goes on to the end of the build.
	BuildLog(ctx context.Context, ref faas.RevisionRef, follow bool) (io.ReadCloser, error)
}

// TriggerRegistrar registers triggers. It has the specs completed and checked.
type TriggerRegistrar interface {
	PutTrigger(ctx context.Context, name faas.TriggerName, spec faas.TriggerSpec) (t *faas.Trigger, created bool, err error)
	DeleteTrigger(ctx context.Context, name faas.TriggerName) error
}

// FormRegistrar is the original's POST /register.
type FormRegistrar interface {
	RegisterForm(ctx context.Context, f *form.Form) (*form.Result, error)
}

// SecretKeeper keeps the secrets of functions. Values are put and never come back.
type SecretKeeper interface {
	// Put keeps a value under a name; created is false when it replaced one.
	Put(ctx context.Context, name faas.SecretName, value string) (created bool, err error)
	Find(ctx context.Context, name faas.SecretName) (*faas.Secret, error)
	List(ctx context.Context, limit int, cursor string) (items []*faas.Secret, next string, err error)
	// Delete forgets a secret; Conflict while a function needs it.
	Delete(ctx context.Context, name faas.SecretName) error
}

// Prober tells whether a dependency is there.
type Prober interface {
	Ready(ctx context.Context) error
}

// Subscriber tells of changes. The channel is closed by cancel, or when the
// reader is too slow to be told everything.
type Subscriber interface {
	Subscribe() (changes <-chan Change, cancel func())
}

// Change tells that something is different now; the reader asks for it anew.
type Change struct {
	Kind     string `json:"kind"` // "invocation", "registrations", or "resync": anything may have changed
	ID       string `json:"id,omitempty"`
	State    string `json:"state,omitempty"`
	Function string `json:"function,omitempty"`
	Trigger  string `json:"trigger,omitempty"`
}

// Requests counts answered requests by the route's template.
type Requests interface {
	Counted(listener, route, method string, code int)
}
