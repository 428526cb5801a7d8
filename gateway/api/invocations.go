package api

import (
	"cmp"
	"io"
	"net/http"
	"time"

	"davit/gateway/edge"
	"davit/internal/faas"
)

const (
	mostWait     = time.Hour
	defaultLinks = 15 * time.Minute
	mostLinks    = 7 * 24 * time.Hour
)

// allowed returns the id in the path, or an error if the caller must not see that invocation.
func (i *invocations) allowed(r *edge.Request) (faas.InvocationID, error) {
	id, err := pathInvocation(r)
	if err != nil || !i.public {
		return id, err
	}
	inv, err := i.port.Find(r.Context(), id, 0)
	if err != nil {
		return "", err
	}
	if inv.Inner == nil || !inv.Inner.Private {
		return id, nil
	}
	return id, checkBearer(r, i.token)
}

func (i *invocations) get(r *edge.Request) error {
	q := readQuery(r)
	wait := q.duration("wait", mostWait)
	if q.err != nil {
		return q.err
	}
	id, err := i.allowed(r)
	if err != nil {
		return err
	}
	inv, err := i.await(r, id, wait)
	if err != nil {
		return err
	}
	return sendJSON(r, http.StatusOK, viewInvocation(inv, i.prefix))
}

// await returns a record once it is final, or as it is after wait or when the server begins to shut down.
func (i *invocations) await(r *edge.Request, id faas.InvocationID, wait time.Duration) (*faas.Invocation, error) {
	if wait == 0 {
		return i.port.Find(r.Context(), id, 0)
	}
	ctx, cancel := r.WaitingContext()
	defer cancel()
	inv, err := i.port.Find(ctx, id, wait)
	if err != nil && ctx.Err() != nil && r.Context().Err() == nil {
		return i.port.Find(r.Context(), id, 0)
	}
	return inv, err
}

func (i *invocations) cancel(r *edge.Request) error {
	id, err := i.allowed(r)
	if err != nil {
		return err
	}
	inv, err := i.port.Cancel(r.LastingContext(), id)
	if err != nil {
		return err
	}
	return sendJSON(r, http.StatusAccepted, viewInvocation(inv, i.prefix))
}

// replay is in the contract but not implemented: it returns a NotAllowed error for an invocation that exists.
func (i *invocations) replay(r *edge.Request) error {
	id, err := i.allowed(r)
	if err != nil {
		return err
	}
	if _, err := i.port.Find(r.Context(), id, 0); err != nil {
		return err
	}
	return faas.Errorf(faas.NotAllowed, "replaying an invocation is not available yet: call the trigger again with the input of %s%s/input", i.prefix, id)
}

func (i *invocations) input(r *edge.Request) error {
	id, err := i.allowed(r)
	if err != nil {
		return err
	}
	info, body, err := i.port.Input(r.Context(), id)
	if err != nil {
		return err
	}
	setFileHeaders(r, "input-"+string(id), cmp.Or(info.ContentType, "application/octet-stream"))
	r.Stream(http.StatusOK, body, info.Size)
	return nil
}

// log answers with the log as text, or as events if the caller accepts events.
func (i *invocations) log(r *edge.Request) error {
	q := readQuery(r)
	from, follow := q.offset("from"), q.flag("follow")
	if q.err != nil {
		return q.err
	}
	id, err := i.allowed(r)
	if err != nil {
		return err
	}
	return sendLog(r, i.heartbeat, from, follow, func(open logRequest) (io.ReadCloser, error) {
		return i.port.Log(open.ctx, id, open.from, open.follow)
	})
}

// listInvocations answers with the records that match the query.
func (k *console) listInvocations(r *edge.Request) error {
	f, err := invocationFilter(readQuery(r))
	if err != nil {
		return err
	}
	items, next, err := k.Invocations.List(r.Context(), f)
	if err != nil {
		return err
	}
	views := make([]invocationView, 0, len(items))
	for _, inv := range items {
		views = append(views, viewInvocation(inv, k.invoked.prefix))
	}
	return sendJSON(r, http.StatusOK, listOf(views, next))
}
