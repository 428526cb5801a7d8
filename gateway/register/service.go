package register

import (
	"context"
	"io"
	"log/slog"
	"time"

	"davit/gateway/faas"
)

// Options are the parts and settings of a Service. Parts are required.
type Options struct {
	Gateway      faas.GatewayID
	Registry     Registry
	Objects      Objects
	Builder      Builder
	Catalog      *Catalog
	Gateways     Gateways
	Defaults     faas.Defaults
	Capabilities faas.Capabilities
	SpoolDir     string        // for uploads that are being checked; "": the system's
	Builds       int           // at once; 0: 2
	BuildTimeout time.Duration // 0: 15 min
	Log          *slog.Logger
	Now          func() time.Time
}

// Gateways tells which gateways live, so that a build whose gateway died is done again.
type Gateways interface {
	LiveGatewayIDs(ctx context.Context) ([]faas.GatewayID, error)
}

// Service changes registrations. Its methods may be called at the same time.
// Their errors that a user may read are *faas.Error.
type Service struct{ o Options }

// New returns a Service; Run must run beside it.
func New(o Options) *Service { return &Service{o: o} }

// Restore rebuilds a registry that lost everything from the store's copies; it
// does nothing to one that did not. Call it before anything is served.
func (s *Service) Restore(ctx context.Context) error { return nil }

// Run builds what is registered, and repairs what a killed gateway left half
// done, until ctx ends. A build that it interrupts is done again by the next gateway.
func (s *Service) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Registered is a new revision; Created tells that the function is new as well.
type Registered struct {
	Revision *faas.Revision
	Created  bool
}

// PutSource reads source to its end, checks it, and registers it as the next
// revision of the function, which is then built in the background. When it fails
// before the source is in the store, nothing is registered.
func (s *Service) PutSource(ctx context.Context, name faas.FunctionName, spec faas.FunctionSpec, source io.Reader) (*Registered, error) {
	return nil, nil
}

// PutImage registers spec.Image as the next revision of the function.
func (s *Service) PutImage(ctx context.Context, name faas.FunctionName, spec faas.FunctionSpec) (*Registered, error) {
	return nil, nil
}

// WaitReady returns the revision once it is ready or has failed, and after that
// long in any state. A revision that is ready is served by every live gateway.
func (s *Service) WaitReady(ctx context.Context, ref faas.RevisionRef, most time.Duration) (*faas.Revision, error) {
	return nil, nil
}

// BuildLog reads a revision's build log; with follow it goes on to the end of the build. Close it.
func (s *Service) BuildLog(ctx context.Context, ref faas.RevisionRef, follow bool) (io.ReadCloser, error) {
	return nil, nil
}

// DeleteFunction deletes a function with its revisions and stored sources:
// Conflict while it has triggers, unless withTriggers, which deletes them too.
func (s *Service) DeleteFunction(ctx context.Context, name faas.FunctionName, withTriggers bool) error {
	return nil
}

// Rollback makes a ready revision live again, under its own number.
func (s *Service) Rollback(ctx context.Context, name faas.FunctionName, number faas.RevisionNumber) error {
	return nil
}

// PutTrigger creates or replaces a trigger.
func (s *Service) PutTrigger(ctx context.Context, name faas.TriggerName, spec faas.TriggerSpec) (t *faas.Trigger, created bool, err error) {
	return nil, false, nil
}

// DeleteTrigger deletes a trigger.
func (s *Service) DeleteTrigger(ctx context.Context, name faas.TriggerName) error { return nil }

// Form is a filled-in HTML form of POST /register.
type Form struct {
	Values map[string][]string // as they arrived, trimmed of nothing
	File   io.Reader           // the upload named "file"; nil: none
}

// FormResult is what a form registered: one of both.
type FormResult struct {
	Function *Registered
	Trigger  *faas.Trigger
	Created  bool // the trigger is new
}

// RegisterForm is the original's POST /register: kind files, image or trigger.
func (s *Service) RegisterForm(ctx context.Context, form *Form) (*FormResult, error) { return nil, nil }
