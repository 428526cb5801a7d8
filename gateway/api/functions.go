package api

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"davit/gateway/edge"
	"davit/gateway/register"
	"davit/internal/faas"
	"davit/internal/faas/spec"
	"davit/internal/text"
)

// mostBuildWait bounds ?wait= of a registration.
const mostBuildWait = time.Hour

func (fs *functions) list(r *edge.Request) error {
	q := readQuery(r)
	limit, cursor := q.page()
	if q.err != nil {
		return q.err
	}
	items, next, err := fs.reader.ListFunctions(r.Context(), limit, cursor)
	if err != nil {
		return err
	}
	views := make([]*functionView, 0, len(items))
	for _, f := range items {
		view, err := fs.view(r.Context(), f)
		if faas.KindOf(err) == faas.NotFound {
			continue // deleted meanwhile
		}
		if err != nil {
			return err
		}
		views = append(views, view)
	}
	return sendJSON(r, http.StatusOK, listOf(views, next))
}

func (fs *functions) get(r *edge.Request) error {
	name, err := pathName[faas.FunctionName](r)
	if err != nil {
		return err
	}
	return fs.send(r, http.StatusOK, name)
}

func (fs *functions) send(r *edge.Request, status int, name faas.FunctionName) error {
	f, err := fs.reader.FindFunction(r.Context(), name)
	if err != nil {
		return err
	}
	view, err := fs.view(r.Context(), f)
	if err != nil {
		return err
	}
	return sendJSON(r, status, view)
}

func (fs *functions) view(ctx context.Context, f *faas.Function) (*functionView, error) {
	latest, err := fs.reader.FindRevision(ctx, faas.RevisionRef{Function: f.Name, Number: f.Latest})
	if err != nil {
		return nil, err
	}
	view := &functionView{
		Name: f.Name, Revision: latest.Number, State: latest.State, Detail: latest.Detail, Image: latest.Image,
		Spec: latest.Spec, Slots: map[faas.Start]faas.SlotCounts{},
		CreatedAt: f.CreatedAt.UTC().Format(time.RFC3339Nano), UpdatedAt: f.UpdatedAt.UTC().Format(time.RFC3339Nano),
	}
	var live *faas.Revision
	if f.Live > 0 {
		view.Live = &f.Live
		if live, err = fs.liveRevision(ctx, f, latest); err != nil {
			return nil, err
		}
		if slots := fs.slots(live.Ref()); slots != nil {
			view.Slots = slots
		}
	}
	view.Invocable = invocable(latest, live, view.Slots)
	return view, nil
}

func (fs *functions) liveRevision(ctx context.Context, f *faas.Function, latest *faas.Revision) (*faas.Revision, error) {
	if f.Live == latest.Number {
		return latest, nil
	}
	return fs.reader.FindRevision(ctx, faas.RevisionRef{Function: f.Name, Number: f.Live})
}

// put registers a revision: an archive sent as a form, or an image named in JSON.
func (fs *functions) put(r *edge.Request) error {
	name, err := pathName[faas.FunctionName](r)
	if err != nil {
		return err
	}
	q := readQuery(r)
	wait := q.duration("wait", mostBuildWait)
	if q.err != nil {
		return q.err
	}
	media, params, err := mediaType(r)
	if err != nil {
		return err
	}
	var done *register.Registered
	switch media {
	case mediaMultipart:
		done, err = fs.putSource(r, name, params["boundary"])
	case mediaJSON, "":
		done, err = fs.putImage(r, name)
	default:
		return faas.Errorf(faas.Invalid, "the body is sent as %s; send multipart/form-data with the parts spec and source, or application/json with an image", text.Clip(media, 80))
	}
	if err != nil {
		return err
	}
	if err := fs.awaitBuild(r, done, wait); err != nil {
		return err
	}
	return fs.sendRegistered(r, done)
}

func (fs *functions) putImage(r *edge.Request, name faas.FunctionName) (*register.Registered, error) {
	body, err := readJSON(r, fs.limits.JSONBytes)
	if err != nil {
		return nil, err
	}
	spec, err := spec.DecodeFunctionSpec(body)
	if err != nil {
		return nil, err
	}
	return fs.registrar.PutImage(r.LastingContext(), name, spec)
}

// awaitBuild waits at most wait for the build of a new revision. It returns a BuildFailed error if the build failed.
func (fs *functions) awaitBuild(r *edge.Request, done *register.Registered, wait time.Duration) error {
	if wait > 0 && done.Revision.State == faas.RevisionBuilding {
		ctx, cancel := r.WaitingContext()
		defer cancel()
		now, err := fs.registrar.WaitReady(ctx, done.Revision.Ref(), wait)
		if err != nil && ctx.Err() == nil {
			return err
		}
		if err == nil {
			done.Revision = now
		}
	}
	if done.Revision.State == faas.RevisionFailed {
		return fs.buildFailed(r, done.Revision)
	}
	return nil
}

// sendRegistered answers a registration with the function: 202 while the revision is being built, 201 for a new
// revision, else 200.
func (fs *functions) sendRegistered(r *edge.Request, done *register.Registered) error {
	rev := done.Revision
	r.Set("Location", "/v1/functions/"+string(rev.Function))
	status := http.StatusOK
	switch {
	case rev.State == faas.RevisionBuilding:
		status = http.StatusAccepted
	case done.Created:
		status = http.StatusCreated
	}
	return fs.send(r, status, rev.Function)
}

// logTailBytes is the size of a log's end in a problem.
const logTailBytes = 4 << 10

func (fs *functions) buildFailed(r *edge.Request, rev *faas.Revision) error {
	e := faas.Errorf(faas.BuildFailed, "revision %d of function %q did not get ready: %s", rev.Number, rev.Function, cmp.Or(rev.Detail, "see its log"))
	log, err := fs.changer.BuildLog(r.Context(), rev.Ref(), false)
	if err != nil {
		e.Err = err
		return e
	}
	defer log.Close()
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

func (fs *functions) delete(r *edge.Request) error {
	name, err := pathName[faas.FunctionName](r)
	if err != nil {
		return err
	}
	q := readQuery(r)
	withTriggers := q.flag("triggers")
	if q.err != nil {
		return q.err
	}
	if err := fs.changer.DeleteFunction(r.LastingContext(), name, withTriggers); err != nil {
		return err
	}
	return sendNothing(r)
}

func (fs *functions) listRevisions(r *edge.Request) error {
	name, err := pathName[faas.FunctionName](r)
	if err != nil {
		return err
	}
	q := readQuery(r)
	limit, cursor := q.page()
	if q.err != nil {
		return q.err
	}
	items, next, err := fs.reader.ListRevisions(r.Context(), name, limit, cursor)
	if err != nil {
		return err
	}
	return sendJSON(r, http.StatusOK, listOf(items, next))
}

func (fs *functions) rollback(r *edge.Request) error {
	name, err := pathName[faas.FunctionName](r)
	if err != nil {
		return err
	}
	body, err := readJSON(r, fs.limits.JSONBytes)
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
	if err := fs.changer.Rollback(r.LastingContext(), name, *sent.Revision); err != nil {
		return err
	}
	return fs.send(r, http.StatusOK, name)
}

func (fs *functions) buildLog(r *edge.Request) error {
	ref, err := pathRevision(r)
	if err != nil {
		return err
	}
	q := readQuery(r)
	from, follow := q.offset("from"), q.flag("follow")
	if q.err != nil {
		return q.err
	}
	return sendLog(r, fs.limits.Heartbeat, from, follow, func(open logRequest) (io.ReadCloser, error) {
		log, err := fs.changer.BuildLog(open.ctx, ref, open.follow)
		if err != nil {
			return nil, err
		}
		return skip(log, open.from)
	})
}
