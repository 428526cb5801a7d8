package dispatch

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"davit/internal/blob"
	"davit/internal/faas"
)

const (
	// leadFor is how long a leader that died is waited for, at most.
	leadFor = 4 * time.Second
	// shareWithin leaves time for another try before the lead is over.
	shareWithin = 2 * time.Second
	// shareEvery is how long a gateway that does not lead waits before it tells of further changes.
	shareEvery = 5 * time.Millisecond
	// tellWithin is for what gateways tell each other.
	tellWithin = 5 * time.Second
)

// lead is whether this gateway decides on the runners that are kept. scaler.mu guards it.
type lead struct {
	term  int64     // of which it is sure; 0: another gateway leads
	tried time.Time // when it was last asked for

	resigned bool
}

// leads reports whether this gateway decides: nobody else does before leadFor is over.
func (s *scaler) leads() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lead.term > 0 && s.d.Now().Sub(s.lead.tried) <= leadFor
}

// confer tells the others what this gateway wants, and learns who leads and what
// they want. Who leads when Redis goes away goes on: no other can begin. One that
// stood still meanwhile does not.
func (s *scaler) confer(ctx context.Context) {
	began := s.d.Now()
	s.mu.Lock()
	s.stale = false
	s.mu.Unlock()
	own := s.own()
	ctx, cancel := context.WithTimeout(ctx, shareWithin)
	defer cancel()
	term, others, err := s.d.Leader.ShareDemand(ctx, s.d.Gateway, own, leadFor)
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.lead
	stoodStill := began.Sub(before.tried) > leadFor
	s.lead.tried = began
	if err != nil {
		if stoodStill {
			s.lead.term = 0
		}
		s.unsaid = true
		return
	}
	s.lead.term = term
	if term == 0 {
		s.others = nil
		return
	}
	if term != before.term {
		s.d.Logger.Info("this gateway leads: it decides on the runners that are kept", "term", term)
	}
	s.hear(others)
}

// resign lets another gateway lead at once, and wants nothing more.
func (s *scaler) resign(ctx context.Context) {
	s.mu.Lock()
	done := s.lead.resigned
	s.lead = lead{resigned: true}
	s.mu.Unlock()
	if done {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, shareWithin)
	defer cancel()
	if err := s.d.Leader.LeaveLead(ctx, s.d.Gateway); err != nil {
		s.d.Logger.Debug("give up the lead; it ends by itself", "error", err)
	}
}

// LeadsAll reports whether this gateway decides on the runners that are kept, for all of them.
func (d *Dispatcher) LeadsAll() bool { return d.scaler.leads() }

// DemandHeard has the leader look at what the others want.
func (d *Dispatcher) DemandHeard() {
	if d.scaler.leads() {
		d.scaler.again()
	}
}

// LeadHeard tries to take the lead, which nobody has.
func (d *Dispatcher) LeadHeard() { d.scaler.again() }

// again has the scaler confer soon.
func (s *scaler) again() {
	s.mu.Lock()
	s.stale = true
	s.mu.Unlock()
	s.wake()
}

// told is an Exit of a kept runner as gateways tell it each other: those that did not
// start the runner may have calls that wait for it, or ran on it.
type told struct {
	Gateway  faas.GatewayID      `json:"gateway"`          // that tells it
	Runner   faas.RunnerID       `json:"runner,omitempty"` // none: it could not be started
	Start    faas.Start          `json:"start"`
	Function faas.FunctionName   `json:"function"`
	Revision faas.RevisionNumber `json:"revision"`
	Reason   faas.Reason         `json:"reason,omitempty"`
	Detail   string              `json:"detail,omitempty"`
	LogTail  string              `json:"log_tail,omitempty"`
	Kind     faas.Kind           `json:"kind,omitempty"` // of why it could not be started
}

// tell tells the other gateways.
func (d *Dispatcher) tell(t *told) {
	t.Gateway = d.Gateway
	line, err := json.Marshal(t)
	if err != nil {
		return
	}
	d.background(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, tellWithin)
		defer cancel()
		if err := d.Leader.PublishExit(ctx, string(line)); err != nil {
			d.Logger.Debug("tell the other gateways how a runner ended", "runner", t.Runner, "error", err)
		}
	})
}

// tellExit tells the others of an end that was not in order.
func (d *Dispatcher) tellExit(e *Exit) {
	if e.Reason == "" || e.Start == faas.StartJob || e.Runner == "" {
		return
	}
	d.tell(&told{
		Runner: e.Runner, Start: e.Start, Function: e.Ref.Function, Revision: e.Ref.Number,
		Reason: e.Reason, Detail: e.Detail, LogTail: e.LogTail,
	})
}

// ExitHeard takes in what another gateway told of a kept runner.
func (d *Dispatcher) ExitHeard(line string) {
	var t told
	if json.Unmarshal([]byte(line), &t) != nil || t.Gateway == d.Gateway {
		return // of another release, or its own
	}
	ref := faas.RevisionRef{Function: t.Function, Number: t.Revision}
	if t.Runner == "" {
		d.notLaunched(ref, &faas.Error{Kind: t.Kind, Detail: t.Detail})
		return
	}
	d.ended(&Exit{Runner: t.Runner, Start: t.Start, Ref: ref, Reason: t.Reason, Detail: t.Detail, LogTail: t.LogTail})
}

// tellNotLaunched tells the others that no runner could be started.
func (d *Dispatcher) tellNotLaunched(ref faas.RevisionRef, start faas.Start, err error) {
	t := &told{Start: start, Function: ref.Function, Revision: ref.Number, Detail: launchLoss(err).Detail, Kind: faas.Internal}
	if isAway(err) {
		t.Kind = faas.Unavailable
	}
	d.tell(t)
}

// isAway reports whether what failed may work a little later.
func isAway(err error) bool {
	return faas.KindOf(err) == faas.Unavailable || errors.Is(err, blob.ErrUnavailable)
}
