package hub

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"davit/internal/faas"
	"davit/internal/task"
)

// partsWithin is how long the store may take to make an object of its parts.
const partsWithin = 2 * time.Minute

// MultipartHandler serves task.PathParts: a runner that is connected here requests the URLs of a multipart upload, and
// its completion, from p.
func (h *Hub) MultipartHandler(p Parter) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+task.PathParts+"{id}", func(w http.ResponseWriter, req *http.Request) { h.servePartsWanted(p, w, req) })
	mux.HandleFunc("POST "+task.PathParts+"{id}/done", func(w http.ResponseWriter, req *http.Request) { h.servePartsDone(p, w, req) })
	return mux
}

func (h *Hub) servePartsWanted(p Parter, w http.ResponseWriter, req *http.Request) {
	var wanted task.PartsWanted
	id, err := h.readPartsRequest(w, req, &wanted)
	var parts *task.Parts
	if err == nil {
		ctx, cancel := context.WithTimeout(req.Context(), partsWithin)
		defer cancel()
		parts, err = p.BeginParts(ctx, id, wanted)
	}
	if err != nil {
		h.refuseParts(w, req, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(parts) // if this fails, the runner requests them again
}

func (h *Hub) servePartsDone(p Parter, w http.ResponseWriter, req *http.Request) {
	var done task.PartsDone
	id, err := h.readPartsRequest(w, req, &done)
	if err == nil {
		ctx, cancel := context.WithTimeout(req.Context(), partsWithin)
		defer cancel()
		err = p.CompleteParts(ctx, id, done)
	}
	if err != nil {
		h.refuseParts(w, req, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// readPartsRequest reads a runner's request about an invocation that a connected runner of its revision owns.
func (h *Hub) readPartsRequest(w http.ResponseWriter, req *http.Request, into any) (faas.InvocationID, error) {
	if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(helloWithin)); err != nil {
		return "", err
	}
	ref, err := parseRef(req.Header.Get(task.HeaderRevision))
	if err != nil {
		return "", err
	}
	token, is := strings.CutPrefix(req.Header.Get("Authorization"), "Bearer ")
	if !is || !h.opts.Verify(ref, token) {
		return "", refuse(http.StatusUnauthorized, "the token is not one of revision %s", ref)
	}
	id, err := faas.ParseInvocationID(req.PathValue("id"))
	if err != nil {
		return "", refuse(http.StatusBadRequest, "%v", err)
	}
	if r, _ := h.roster.owner(id); r == nil || r.hello.Ref() != ref {
		return "", refuse(http.StatusNotFound, "no runner of %s that is connected to this gateway owns %s", ref, id)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, task.MaxParts))
	if err == nil {
		err = json.Unmarshal(body, into)
	}
	if err != nil {
		return "", refuse(http.StatusBadRequest, "read body: %v", err)
	}
	return id, nil
}

func (h *Hub) refuseParts(w http.ResponseWriter, req *http.Request, err error) {
	status := http.StatusInternalServerError
	if r, ok := errors.AsType[*refusal](err); ok {
		status = r.status
	} else {
		switch faas.KindOf(err) { //nolint:exhaustive // the others are faults here
		case faas.NotFound:
			status = http.StatusNotFound
		case faas.Conflict:
			status = http.StatusConflict
		case faas.Invalid:
			status = http.StatusBadRequest
		case faas.Unavailable:
			status = http.StatusServiceUnavailable
		}
	}
	h.log.Warn("multipart upload refused", "from", req.RemoteAddr, "path", req.URL.Path, "status", status, "error", err)
	http.Error(w, err.Error(), status)
}
