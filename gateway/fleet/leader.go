package fleet

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"davit/internal/faas"
)

const (
	// leadFor is how long the lead of a gateway that died lasts, at most.
	leadFor = 4 * time.Second
	// shareWithin bounds one publication of demand, so that another try fits before the lead ends.
	shareWithin = 2 * time.Second
)

// election is this gateway's part in the election of the leader.
type election struct {
	gateway faas.GatewayID
	leader  Leader
	log     *slog.Logger
	now     func() time.Time

	mu       sync.Mutex
	term     int64     // of the lead that this gateway is sure of; 0: another gateway leads
	tried    time.Time // when the lead was last asked for
	resigned bool
}

// leads reports whether this gateway decides. No other gateway does before leadFor is over.
func (e *election) leads() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.term > 0 && e.now().Sub(e.tried) <= leadFor
}

// share publishes this gateway's demand and renews or takes the lead; the leader gets the demand of the others. If
// Redis is unavailable a leader goes on, because no other gateway can take the lead; a process that was suspended for
// longer than the lead does not.
func (e *election) share(ctx context.Context, own []faas.Demand) (leads bool, others []faas.Demand, err error) {
	began := e.now()
	ctx, cancel := context.WithTimeout(ctx, shareWithin)
	defer cancel()
	term, others, err := e.leader.ShareDemand(ctx, e.gateway, own, leadFor)
	e.mu.Lock()
	defer e.mu.Unlock()
	before, suspended := e.term, began.Sub(e.tried) > leadFor
	e.tried, e.resigned = began, false
	if err != nil {
		if suspended {
			e.term = 0
		}
		return false, nil, err
	}
	e.term = term
	if term > 0 && term != before {
		e.log.Info("this gateway leads: it decides how many runners are kept", "term", term)
	}
	return term > 0, others, nil
}

// resign gives up the lead and this gateway's demand, so that another gateway can lead at once.
func (e *election) resign(ctx context.Context) {
	e.mu.Lock()
	done := e.resigned
	e.term, e.tried, e.resigned = 0, time.Time{}, true
	e.mu.Unlock()
	if done {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, shareWithin)
	defer cancel()
	if err := e.leader.LeaveLead(ctx, e.gateway); err != nil {
		e.log.Debug("giving up the lead failed; it ends by itself", "error", err)
	}
}
