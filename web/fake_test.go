package web_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"davit/web"
)

type object = map[string]any

// fake is an API whose state tests set.
type fake struct {
	t   *testing.T
	url string

	mu          sync.Mutex
	locked      bool // requests need a session
	functions   []object
	triggers    []object
	revisions   map[string][]object
	invocations []object
	asked       []string // methods and paths of requests that change something
	forms       []map[string][]string
	refuse      *object                // a problem for the next change
	logs        map[string]*fakeLog    // by path
	streams     map[chan string]func() // of events, with functions that close them
	uploading   chan struct{}          // if set: an upload is read only after this is closed
}

func newFake(t *testing.T) *fake {
	t.Helper()
	f := &fake{t: t, revisions: map[string][]object{}, logs: map[string]*fakeLog{}, streams: map[chan string]func(){}}
	mux := http.NewServeMux()
	f.routes(mux)
	server := httptest.NewServer(f.guard(mux))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	f.url = server.URL
	return f
}

// policy returns the gateway's Content-Security-Policy, read from its source.
func policy(t *testing.T) string {
	t.Helper()
	source, err := os.ReadFile("../gateway/api/page.go")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?s)const pagePolicy = ("(?:.*?)")\n\n`).FindSubmatch(source)
	if found == nil {
		t.Fatal("gateway/api/page.go has no pagePolicy")
	}
	var b strings.Builder
	for _, part := range regexp.MustCompile(`"([^"]*)"`).FindAllSubmatch(found[1], -1) {
		b.Write(part[1])
	}
	return b.String()
}

func (f *fake) routes(mux *http.ServeMux) {
	files, held := http.FileServerFS(web.Files), policy(f.t)
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", held)
		files.ServeHTTP(w, r)
	})
	mux.HandleFunc("POST /v1/session", f.signIn)
	mux.HandleFunc("DELETE /v1/session", func(w http.ResponseWriter, _ *http.Request) { f.lock(); w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("GET /readyz", answer(object{"status": "ok", "dependencies": object{"redis": "ok", "store": "ok"}}))
	mux.HandleFunc("GET /v1/limits", answer(object{
		"version": "v1.0.0", "mode": "embedded", "parts": object{"redis": "embedded", "store": "folder", "launcher": "local"},
		"sandbox": "Landlock, ABI 4", "limits": object{"max_archive": 100 << 20}, "calls_url": "http://127.0.0.1:8081",
	}))
	mux.HandleFunc("GET /v1/events", f.events)
	mux.HandleFunc("GET /v1/functions", f.list(&f.functions))
	mux.HandleFunc("GET /v1/functions/{name}", f.one(&f.functions, "name", "function"))
	mux.HandleFunc("GET /v1/functions/{name}/revisions", f.listRevisions)
	mux.HandleFunc("GET /v1/functions/{name}/revisions/{n}/log", f.log)
	mux.HandleFunc("GET /v1/triggers", f.list(&f.triggers))
	mux.HandleFunc("GET /v1/invocations", f.listInvocations)
	mux.HandleFunc("GET /v1/invocations/{name}", f.one(&f.invocations, "id", "invocation"))
	mux.HandleFunc("GET /v1/invocations/{name}/log", f.log)
	mux.HandleFunc("POST /v1/invocations/{name}/cancel", f.cancel)
	mux.HandleFunc("PUT /v1/functions/{name}", f.putExample)
	mux.HandleFunc("PUT /v1/triggers/{name}", f.putTrigger)
	mux.HandleFunc("DELETE /v1/functions/{name}", f.remove(&f.functions))
	mux.HandleFunc("DELETE /v1/triggers/{name}", f.remove(&f.triggers))
	mux.HandleFunc("POST /v1/functions/{name}/rollback", f.rollback)
	mux.HandleFunc("POST /register", f.register)
}

// guard refuses requests without a session while the fake is locked, and records requests that change something.
func (f *fake) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		locked, refuse := f.locked, f.refuse
		if r.Method != http.MethodGet {
			f.asked = append(f.asked, r.Method+" "+r.URL.RequestURI())
			f.refuse = nil
		}
		f.mu.Unlock()
		switch {
		case locked && strings.HasPrefix(r.URL.Path, "/v1/") && r.URL.Path != "/v1/session":
			sendProblem(w, object{"status": 401, "kind": "unauthorized", "title": "Credentials are needed", "detail": "the session has ended: sign in again"})
		case refuse != nil && r.Method != http.MethodGet:
			_, _ = io.Copy(io.Discard, r.Body)
			sendProblem(w, *refuse)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func sendProblem(w http.ResponseWriter, fields object) {
	p := object{"type": "urn:davit:problem:x", "instance": "/", "request_id": "req-0123456789abcdef"}
	for k, v := range fields {
		p[k] = v
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(fields["status"].(int))
	_ = json.NewEncoder(w).Encode(p)
}

func send(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func answer(v any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { send(w, http.StatusOK, v) }
}

func (f *fake) lock() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.locked = true
}

func (f *fake) signIn(w http.ResponseWriter, r *http.Request) {
	var sent struct{ Token string }
	if err := json.NewDecoder(r.Body).Decode(&sent); err != nil || sent.Token != "secret" {
		sendProblem(w, object{"status": 401, "kind": "unauthorized", "title": "Credentials are needed", "detail": "The token is not the right one."})
		return
	}
	f.mu.Lock()
	f.locked = false
	f.mu.Unlock()
	w.WriteHeader(http.StatusNoContent)
}

func (f *fake) list(of *[]object) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		send(w, http.StatusOK, object{"items": append([]object{}, *of...), "next": nil})
	}
}

func (f *fake) listRevisions(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	send(w, http.StatusOK, object{"items": append([]object{}, f.revisions[r.PathValue("name")]...), "next": nil})
}

// listInvocations answers with pages as the gateway does; cursors are ids.
func (f *fake) listInvocations(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	q := r.URL.Query()
	limit, items := 50, []object{}
	if q.Get("limit") != "" {
		_, _ = fmt.Sscan(q.Get("limit"), &limit)
	}
	for _, inv := range f.invocations {
		fits := q.Get("cursor") == "" || inv["id"].(string) < q.Get("cursor")
		for _, name := range []string{"function", "trigger", "state"} {
			fits = fits && (q.Get(name) == "" || q.Get(name) == inv[name])
		}
		if fits {
			items = append(items, inv)
		}
	}
	slices.SortFunc(items, func(a, b object) int { return strings.Compare(b["id"].(string), a["id"].(string)) })
	var next any
	if len(items) > limit {
		items = items[:limit]
		next = items[limit-1]["id"]
	}
	send(w, http.StatusOK, object{"items": items, "next": next})
}

func (f *fake) one(of *[]object, key, noun string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		name := r.PathValue("name")
		if i := slices.IndexFunc(*of, func(o object) bool { return o[key] == name }); i >= 0 {
			send(w, http.StatusOK, (*of)[i])
			return
		}
		sendProblem(w, object{"status": 404, "kind": "not_found", "title": "Nothing is there", "detail": fmt.Sprintf("there is no %s %q", noun, name)})
	}
}

func (f *fake) remove(of *[]object) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		*of = slices.DeleteFunc(*of, func(o object) bool { return o["name"] == r.PathValue("name") })
		w.WriteHeader(http.StatusNoContent)
	}
}

func (f *fake) rollback(w http.ResponseWriter, r *http.Request) {
	var sent struct{ Revision int }
	_ = json.NewDecoder(r.Body).Decode(&sent)
	f.mu.Lock()
	for _, fn := range f.functions {
		if fn["name"] == r.PathValue("name") {
			fn["live_revision"] = sent.Revision
		}
	}
	f.mu.Unlock()
	f.one(&f.functions, "name", "function")(w, r)
}

func (f *fake) cancel(w http.ResponseWriter, r *http.Request) {
	f.change(r.PathValue("name"), object{"state": "cancelled", "reason": "cancelled", "detail": "somebody cancelled the invocation", "ended_at": ago(0)})
	f.mu.Lock()
	defer f.mu.Unlock()
	i := slices.IndexFunc(f.invocations, func(o object) bool { return o["id"] == r.PathValue("name") })
	send(w, http.StatusAccepted, f.invocations[i])
}

// change changes a record and sends the event.
func (f *fake) change(id string, fields object) {
	f.mu.Lock()
	var told object
	for _, inv := range f.invocations {
		if inv["id"] == id {
			for k, v := range fields {
				inv[k] = v
			}
			told = object{"kind": "invocation", "id": id, "state": inv["state"], "function": inv["function"], "trigger": inv["trigger"]}
		}
	}
	f.mu.Unlock()
	f.tell(told)
}

func (f *fake) took(name string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Contains(f.asked, name)
}
