package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"time"

	"davit/internal/blob"
	"davit/internal/faas"
)

// publishWithin bounds the publication of one message.
const publishWithin = 5 * time.Second

// exitMessage is the end of a kept runner as gateways publish it to one another: calls of gateways that did not start
// the runner may wait for it, or run on it.
type exitMessage struct {
	Gateway  faas.GatewayID      `json:"gateway"`          // the publisher
	Runner   faas.RunnerID       `json:"runner,omitempty"` // none: it could not be started
	Start    faas.Start          `json:"start"`
	Function faas.FunctionName   `json:"function"`
	Revision faas.RevisionNumber `json:"revision"`
	Reason   faas.Reason         `json:"reason,omitempty"`
	Detail   string              `json:"detail,omitempty"`
	LogTail  string              `json:"log_tail,omitempty"`
	Kind     faas.Kind           `json:"kind,omitempty"` // of the error, if it could not be started
}

// exitPublisher publishes the ends of kept runners in the background.
type exitPublisher struct {
	gateway faas.GatewayID
	leader  Leader
	log     *slog.Logger
	base    context.Context //nolint:containedctx // the parent of publications; Run cancels it
	work    sync.WaitGroup
}

func (p *exitPublisher) publish(m *exitMessage) {
	m.Gateway = p.gateway
	line, err := json.Marshal(m)
	if err != nil {
		return
	}
	p.work.Go(func() {
		ctx, cancel := context.WithTimeout(p.base, publishWithin)
		defer cancel()
		if err := p.leader.PublishExit(ctx, string(line)); err != nil {
			p.log.Debug("publishing the end of a runner failed", "runner", m.Runner, "error", err)
		}
	})
}

// exited publishes the end of a kept runner that did not end in order.
func (p *exitPublisher) exited(e *faas.Exit) {
	if e.Reason == "" || e.Start == faas.StartJob || e.Runner == "" {
		return
	}
	p.publish(&exitMessage{
		Runner: e.Runner, Start: e.Start, Function: e.Ref.Function, Revision: e.Ref.Number,
		Reason: e.Reason, Detail: e.Detail, LogTail: e.LogTail,
	})
}

// notLaunched publishes that no runner could be started.
func (p *exitPublisher) notLaunched(of group, err error) {
	m := &exitMessage{Start: of.start, Function: of.ref.Function, Revision: of.ref.Number, Detail: launchError(err).Detail, Kind: faas.Internal}
	if isUnavailable(err) {
		m.Kind = faas.Unavailable
	}
	p.publish(m)
}

// isUnavailable reports whether what failed may succeed a little later.
func isUnavailable(err error) bool {
	return faas.IsUnavailable(err) || errors.Is(err, blob.ErrUnavailable)
}

// launchError is the launcher's own error, or says that no runner could be started.
func launchError(err error) *faas.Error {
	return faas.OrUnavailable(err, "no runner could be started", 5*time.Second)
}
