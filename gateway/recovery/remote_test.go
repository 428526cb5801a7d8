package recovery_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"davit/gateway/hub"
	"davit/gateway/recovery"
	"davit/internal/faas"
	"davit/internal/task"
)

const remoteID = faas.InvocationID("0192f0a0-0000-7000-8000-000000000001")

// remoteRig is a gateway that leads an invocation once it was adopted, with a runner that owns it unless it is away.
type remoteRig struct {
	recovery.Losses

	reading func() // called while the record is read
	leads   bool
	away    bool
	settled []*task.Outcome
	missed  int
}

func (r *remoteRig) Leads(faas.InvocationID) bool { return r.leads }
func (r *remoteRig) Resume(faas.InvocationID)     {}
func (r *remoteRig) Miss(faas.InvocationID)       { r.missed++ }

func (r *remoteRig) Adopt(context.Context, *faas.Invocation, faas.RunnerID) (isCommitted bool) {
	r.leads = true
	return true
}

func (r *remoteRig) Settle(_ faas.InvocationID, o *task.Outcome, _ bool) {
	r.settled = append(r.settled, o)
}

// remoteHub is the rig's runner.
type remoteHub struct {
	recovery.Hub
	rig *remoteRig
}

func (h remoteHub) Runners() []hub.Status { return nil }

func (h remoteHub) Owner(faas.InvocationID) (faas.RunnerID, bool) { return "runner", !h.rig.away }

// remoteRecords has the record of a gateway that died.
type remoteRecords struct {
	recovery.Records
	rig *remoteRig
}

func (r remoteRecords) FindInvocation(context.Context, faas.InvocationID) (*faas.Invocation, error) {
	r.rig.reading()
	return deadRecord(), nil
}

func deadRecord() *faas.Invocation {
	return &faas.Invocation{ID: remoteID, Function: "f", Revision: 1, State: faas.Running, Inner: &faas.Inner{Gateway: "gw-dead", Runner: "runner"}}
}

func (r *remoteRig) recoverer() *recovery.Recoverer {
	return recovery.New(recovery.Options{
		Gateway: "gw-test", Calls: r, Losses: r, Hub: remoteHub{rig: r}, Records: remoteRecords{rig: r},
		Log: slog.New(slog.DiscardHandler), Now: time.Now,
	})
}

// TestReportsWhileAdopted: what a runner reports, or that it leaves, while its invocation is adopted is not lost.
func TestReportsWhileAdopted(t *testing.T) {
	ended := task.Event{Kind: task.EventEnded, Invocation: remoteID, Outcome: &task.Outcome{}}
	cases := map[string]struct {
		reading         func(*remoteRig, *recovery.Recoverer)
		settled, missed int
	}{
		"nothing": {reading: func(*remoteRig, *recovery.Recoverer) {}},
		"the end": {reading: func(_ *remoteRig, r *recovery.Recoverer) { r.Happened("runner", ended) }, settled: 1},
		"it leaves": {reading: func(rig *remoteRig, r *recovery.Recoverer) {
			rig.away = true
			r.Left([]faas.InvocationID{remoteID})
		}, missed: 1},
		"the end, then it leaves": {reading: func(rig *remoteRig, r *recovery.Recoverer) {
			r.Happened("runner", ended)
			rig.away = true
		}, settled: 1, missed: 1},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			rig := &remoteRig{}
			r := rig.recoverer()
			rig.reading = func() { c.reading(rig, r) }
			r.Owned("runner", &task.Owned{Record: *deadRecord()})
			r.Age(time.Minute)
			r.AdoptRemotes(t.Context(), []faas.GatewayID{"gw-test"})
			if !rig.leads || r.IsKnown(remoteID) {
				t.Errorf("led here: %v, remembered as another gateway's: %v", rig.leads, r.IsKnown(remoteID))
			}
			if len(rig.settled) != c.settled || rig.missed != c.missed {
				t.Errorf("settled %d times, missed %d times; want %d and %d", len(rig.settled), rig.missed, c.settled, c.missed)
			}
		})
	}
}

// TestReportAfterAdoption: what was noted of an invocation that is led here by then is handed to the call, and the
// invocation is not adopted again.
func TestReportAfterAdoption(t *testing.T) {
	rig := &remoteRig{reading: func() { t.Error("the record was read again") }, leads: true}
	r := rig.recoverer()
	r.Owned("runner", &task.Owned{Record: *deadRecord(), Ended: true, Outcome: &task.Outcome{}})
	r.Age(time.Minute)
	r.AdoptRemotes(t.Context(), []faas.GatewayID{"gw-test"})
	if len(rig.settled) != 1 || r.IsKnown(remoteID) {
		t.Errorf("settled %d times, remembered: %v", len(rig.settled), r.IsKnown(remoteID))
	}
}
