package observer_test

import (
	"testing"

	"davit/gateway/observer"
	"davit/internal/faas"
	"davit/internal/task"
)

// parts are what an Observer reports to. The calls adopt the invocation while recovery notes what is reported of it.
type parts struct {
	adopts bool
	leads  bool
	calls  []string
	noted  int
}

func (p *parts) call(what string) (ours bool) {
	if p.leads {
		p.calls = append(p.calls, what)
	}
	return p.leads
}

func (p *parts) note() {
	p.noted++
	p.leads = p.leads || p.adopts
}

type calls struct{ *parts }

func (c calls) Owned(*task.Owned) bool                  { return c.call("held") }
func (c calls) Left([]faas.InvocationID)                {}
func (c calls) Happened(faas.RunnerID, task.Event) bool { return c.call("happened") }
func (c calls) Exited(faas.Exit, bool)                  {}

type recovery struct{ *parts }

func (r recovery) Owned(faas.RunnerID, *task.Owned)   { r.note() }
func (r recovery) Left([]faas.InvocationID)           {}
func (r recovery) Happened(faas.RunnerID, task.Event) { r.note() }

// fleet takes no interest.
type fleet struct{ observer.Fleet }

func (fleet) Joined(task.Hello)                  {}
func (fleet) Happened(faas.RunnerID, task.Event) {}

type launcher struct{}

func (launcher) Joined(faas.RunnerID) {}

// TestReports: what a runner reports goes to the call if it is led here, else to recovery; and to both if the
// invocation is adopted at that very moment.
func TestReports(t *testing.T) {
	for name, c := range map[string]struct {
		leads, adopts bool
		calls, noted  int
	}{
		"led here":                  {leads: true, calls: 2},
		"led by another gateway":    {noted: 2},
		"adopted while it is noted": {adopts: true, calls: 2, noted: 1},
	} {
		t.Run(name, func(t *testing.T) {
			p := &parts{leads: c.leads, adopts: c.adopts}
			o := &observer.Observer{Launcher: launcher{}, Fleet: fleet{}, Calls: calls{p}, Recovery: recovery{p}}
			o.Joined(task.Hello{Runner: "runner", Owned: []task.Owned{{}}})
			o.Happened("runner", task.Event{Kind: task.EventEnded, Invocation: "i"})
			if len(p.calls) != c.calls || p.noted != c.noted {
				t.Errorf("the call got %v, recovery noted %d; want %d and %d", p.calls, p.noted, c.calls, c.noted)
			}
		})
	}
}
