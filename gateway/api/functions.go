package api

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/gofiber/fiber/v2"

	"davit/internal/faas"
	"davit/internal/faas/spec"
)

// mostBuildWait bounds ?wait= of a registration.
const mostBuildWait = time.Hour

func (k *console) listFunctions(_ *fiber.Ctx, r *request) error {
	q := r.query()
	limit, cursor := q.page()
	if q.err != nil {
		return q.err
	}
	items, next, err := k.Functions.ListFunctions(r.context(), limit, cursor)
	if err != nil {
		return err
	}
	views := make([]*functionView, 0, len(items))
	for _, f := range items {
		view, err := k.viewFunction(r.context(), f)
		if faas.KindOf(err) == faas.NotFound {
			continue // deleted meanwhile
		}
		if err != nil {
			return err
		}
		views = append(views, view)
	}
	return r.sendJSON(fiber.StatusOK, listOf(views, next))
}

func (k *console) getFunction(c *fiber.Ctx, r *request) error {
	name, err := pathName[faas.FunctionName](c)
	if err != nil {
		return err
	}
	return k.sendFunction(r, fiber.StatusOK, name)
}

func (k *console) sendFunction(r *request, status int, name faas.FunctionName) error {
	f, err := k.Functions.FindFunction(r.context(), name)
	if err != nil {
		return err
	}
	view, err := k.viewFunction(r.context(), f)
	if err != nil {
		return err
	}
	return r.sendJSON(status, view)
}

func (k *console) viewFunction(ctx context.Context, f *faas.Function) (*functionView, error) {
	latest, err := k.Functions.FindRevision(ctx, faas.RevisionRef{Function: f.Name, Number: f.Latest})
	if err != nil {
		return nil, err
	}
	view := &functionView{
		Name: f.Name, Revision: latest.Number, State: latest.State, Detail: latest.Detail, Image: latest.Image,
		Spec: latest.Spec, Slots: map[faas.Start]SlotCounts{},
		CreatedAt: f.CreatedAt.UTC().Format(time.RFC3339Nano), UpdatedAt: f.UpdatedAt.UTC().Format(time.RFC3339Nano),
	}
	var live *faas.Revision
	if f.Live > 0 {
		view.Live = &f.Live
		if live, err = k.liveRevision(ctx, f, latest); err != nil {
			return nil, err
		}
		if slots := k.Slots(live.Ref()); slots != nil {
			view.Slots = slots
		}
	}
	view.Invocable = invocable(latest, live, view.Slots)
	return view, nil
}

func (k *console) liveRevision(ctx context.Context, f *faas.Function, latest *faas.Revision) (*faas.Revision, error) {
	if f.Live == latest.Number {
		return latest, nil
	}
	return k.Functions.FindRevision(ctx, faas.RevisionRef{Function: f.Name, Number: f.Live})
}

// putFunction registers a revision: an archive as a form, or an image as JSON.
func (k *console) putFunction(c *fiber.Ctx, r *request) error {
	name, err := pathName[faas.FunctionName](c)
	if err != nil {
		return err
	}
	q := r.query()
	wait := q.duration("wait", mostBuildWait)
	if q.err != nil {
		return q.err
	}
	media, params, err := r.mediaType()
	if err != nil {
		return err
	}
	var done *Registered
	switch media {
	case fiber.MIMEMultipartForm:
		done, err = k.putSource(r, name, params["boundary"])
	case fiber.MIMEApplicationJSON, "":
		done, err = k.putImage(r, name)
	default:
		return faas.Errorf(faas.Invalid, "the body is sent as %s; send multipart/form-data with the parts spec and source, or application/json with an image", clip(media, 80))
	}
	if err != nil {
		return err
	}
	if err := k.awaitBuild(r, done, wait); err != nil {
		return err
	}
	return k.sendRegistered(r, done)
}

func (k *console) putImage(r *request, name faas.FunctionName) (*Registered, error) {
	body, err := r.readJSON()
	if err != nil {
		return nil, err
	}
	spec, err := spec.DecodeFunctionSpec(body)
	if err != nil {
		return nil, err
	}
	return k.Register.PutImage(r.lasting(), name, spec)
}

// awaitBuild waits for the build of what was registered, at most so long; it is an
// error when that failed.
func (k *console) awaitBuild(r *request, done *Registered, wait time.Duration) error {
	if wait > 0 && done.Revision.State == faas.RevisionBuilding {
		ctx, cancel := r.streamContext()
		defer cancel()
		now, err := k.Register.WaitReady(ctx, done.Revision.Ref(), wait)
		if err != nil && ctx.Err() == nil {
			return err
		}
		if err == nil {
			done.Revision = now
		}
	}
	if done.Revision.State == faas.RevisionFailed {
		return k.buildFailed(r, done.Revision)
	}
	return nil
}

// sendRegistered answers a registration.
func (k *console) sendRegistered(r *request, done *Registered) error {
	rev := done.Revision
	r.respond().Set("Location", "/v1/functions/"+string(rev.Function))
	status := fiber.StatusOK
	switch {
	case rev.State == faas.RevisionBuilding:
		status = fiber.StatusAccepted
	case done.Created:
		status = fiber.StatusCreated
	}
	return k.sendFunction(r, status, rev.Function)
}

// logTailBytes is how much of a log's end a problem carries.
const logTailBytes = 4 << 10

func (k *console) buildFailed(r *request, rev *faas.Revision) error {
	e := faas.Errorf(faas.BuildFailed, "revision %d of function %q did not get ready: %s", rev.Number, rev.Function, orDefault(rev.Detail, "see its log"))
	log, err := k.Change.BuildLog(r.context(), rev.Ref(), false)
	if err != nil {
		e.Err = err
		return e
	}
	defer log.Close() //nolint:errcheck // it was only read
	tail, err := tailOf(log, logTailBytes)
	e.LogTail, e.Err = string(tail), err
	return e
}

// tailOf reads r to its end and returns the last n bytes of it.
func tailOf(r io.Reader, n int) ([]byte, error) {
	tail := make([]byte, 0, 2*n)
	buf := make([]byte, n)
	for {
		more, err := r.Read(buf)
		tail = append(tail, buf[:more]...)
		if over := len(tail) - n; over > 0 {
			tail = append(tail[:0], tail[over:]...)
		}
		if errors.Is(err, io.EOF) {
			return tail, nil
		}
		if err != nil {
			return tail, err
		}
	}
}

func (k *console) deleteFunction(c *fiber.Ctx, r *request) error {
	name, err := pathName[faas.FunctionName](c)
	if err != nil {
		return err
	}
	q := r.query()
	withTriggers := q.flag("triggers")
	if q.err != nil {
		return q.err
	}
	if err := k.Change.DeleteFunction(r.lasting(), name, withTriggers); err != nil {
		return err
	}
	return r.sendNothing()
}

func (k *console) listRevisions(c *fiber.Ctx, r *request) error {
	name, err := pathName[faas.FunctionName](c)
	if err != nil {
		return err
	}
	q := r.query()
	limit, cursor := q.page()
	if q.err != nil {
		return q.err
	}
	items, next, err := k.Functions.ListRevisions(r.context(), name, limit, cursor)
	if err != nil {
		return err
	}
	return r.sendJSON(fiber.StatusOK, listOf(items, next))
}

func (k *console) rollback(c *fiber.Ctx, r *request) error {
	name, err := pathName[faas.FunctionName](c)
	if err != nil {
		return err
	}
	body, err := r.readJSON()
	if err != nil {
		return err
	}
	var sent struct {
		Revision *faas.RevisionNumber `json:"revision"`
	}
	if err := decodeJSON(body, &sent); err != nil {
		return err
	}
	if sent.Revision == nil || *sent.Revision < 1 {
		return &faas.Error{Kind: faas.NotAllowed, Detail: "revision must be the number of one of the function's revisions", Fields: []faas.FieldError{{Pointer: "/revision", Detail: "must be a number from 1"}}}
	}
	if err := k.Change.Rollback(r.lasting(), name, *sent.Revision); err != nil {
		return err
	}
	return k.sendFunction(r, fiber.StatusOK, name)
}

func (k *console) buildLog(c *fiber.Ctx, r *request) error {
	ref, err := pathRevision(c)
	if err != nil {
		return err
	}
	q := r.query()
	from, follow := q.offset("from"), q.flag("follow")
	if q.err != nil {
		return q.err
	}
	return r.sendLog(from, follow, func(open logRequest) (io.ReadCloser, error) {
		log, err := k.Change.BuildLog(open.ctx, ref, open.follow)
		if err != nil {
			return nil, err
		}
		return skip(log, open.from)
	})
}
