package work

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"davit/internal/faas"
	"davit/internal/task"
	"davit/internal/testenv"
)

// store is an object store of signed URLs that can be away.
type store struct {
	url string

	mu      sync.Mutex
	objects map[string]string
	order   []string
	types   map[string]string
	refuse  func(r *http.Request) int // status; 0: serve
}

func newStore(t testing.TB) *store {
	t.Helper()
	s := &store{objects: map[string]string{}, types: map[string]string{}}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

// ServeHTTP implements http.Handler.
func (s *store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	refuse := s.refuse
	s.mu.Unlock()
	if refuse != nil {
		if status := refuse(r); status != 0 {
			w.WriteHeader(status)
			return
		}
	}
	if r.Method == http.MethodPut {
		b, err := io.ReadAll(r.Body)
		if err != nil || r.ContentLength != int64(len(b)) {
			w.WriteHeader(http.StatusLengthRequired)
			return
		}
		s.put(r.URL.Path, string(b), r.Header.Get("Content-Type"))
		w.Header().Set("ETag", etagOf(string(b)))
		return
	}
	s.mu.Lock()
	b, there := s.objects[r.URL.Path]
	s.mu.Unlock()
	if !there {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	_, _ = io.WriteString(w, b)
}

func etagOf(b string) string { return fmt.Sprintf("%q", "etag of "+b) }

func (s *store) put(path, b, contentType string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.objects[path], s.types[path] = b, contentType
	s.order = append(s.order, path)
}

func (s *store) get(path string) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, there := s.objects[path]
	return b, there
}

func (s *store) names() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.order, " ")
}

func (s *store) setRefuse(f func(*http.Request) int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = f
}

func (s *store) puts() task.Put {
	return task.Put{Input: s.url + "/input", Result: s.url + "/result", Log: s.url + "/log", Outcome: s.url + "/outcome"}
}

// watch collects a worker's events until the test ends.
func watch(t testing.TB, w *Worker) func() []task.Event {
	t.Helper()
	var mu sync.Mutex
	var events []task.Event
	ctx, cancel := context.WithCancel(context.Background())
	begun, ended := make(chan struct{}), make(chan struct{})
	var once sync.Once
	go func() {
		defer close(ended)
		_ = w.Events(ctx, func(e task.Event) error {
			mu.Lock()
			events = append(events, e)
			mu.Unlock()
			once.Do(func() { close(begun) })
			return nil
		})
	}()
	<-begun
	t.Cleanup(func() { cancel(); <-ended })
	return func() []task.Event {
		mu.Lock()
		defer mu.Unlock()
		return append([]task.Event(nil), events...)
	}
}

// await waits for an event.
func await(t testing.TB, events func() []task.Event, kind task.EventKind) task.Event {
	t.Helper()
	var found task.Event
	testenv.Eventually(t, string(kind), func() bool {
		for _, e := range events() {
			if e.Kind == kind {
				found = e
				return true
			}
		}
		return false
	})
	return found
}

func TestWhatIsStored(t *testing.T) {
	tests := []struct {
		name   string
		shell  string
		change func(*task.Task)
		body   string
		want   string // in this order
		event  bool
	}{
		{name: "all", shell: "echo log >&2", change: func(tk *task.Task) { tk.Keep = faas.KeepAll }, body: "input", want: "/input /result /log", event: true},
		{name: "nothing to log, no body", shell: "true", change: func(tk *task.Task) { tk.Keep = faas.KeepAll }, want: "/result", event: true},
		{name: "none", shell: "echo log", change: func(tk *task.Task) { tk.Keep = faas.KeepNone }, body: "input"},
		{name: "none, failed", shell: "exit 1", change: func(tk *task.Task) { tk.Keep = faas.KeepNone }, body: "input"},
		{name: "failed, and it went well", shell: "echo log", change: func(tk *task.Task) { tk.Keep = faas.KeepFailed }, body: "input"},
		{name: "failed, and it failed", shell: "echo log; exit 1", change: func(tk *task.Task) { tk.Keep = faas.KeepFailed }, body: "input", want: "/input /log", event: true},
		{name: "must", shell: "echo log", change: func(tk *task.Task) { tk.Keep, tk.MustKeep = faas.KeepNone, true }, body: "input", want: "/input /result /log /outcome", event: true},
		{name: "malformed", shell: "true", change: func(tk *task.Task) {
			tk.Keep, tk.Request.ContentType = faas.KeepAll, "multipart/form-data; boundary=x"
		}, body: "garbage", want: "/input", event: true},
		{name: "gateway has the input", shell: "true", change: func(tk *task.Task) { tk.Keep, tk.Put.Input = faas.KeepAll, "" }, body: "x", want: "/result", event: true},
		{name: "raw answer", shell: "true", change: func(tk *task.Task) { tk.Keep, tk.Response = faas.KeepAll, faas.ResponseFile }, want: "/result", event: true},
	}
	w := newWorker(t, nil)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newStore(t)
			events := watch(t, w)
			tk := newTask(t, test.shell, func(tk *task.Task) {
				tk.Put = s.puts()
				tk.Request.ContentType = "text/x"
				test.change(tk)
			})
			d := call(t, w, tk, test.body)
			testenv.Eventually(t, "the call to be forgotten", func() bool { return len(w.Owned()) == 0 })
			if got := s.names(); got != test.want {
				t.Fatalf("stored %q, want %q", got, test.want)
			}
			if !test.event {
				return
			}
			e := await(t, events, task.EventStored)
			kept := *e.Outcome
			if kept.Reason != d.Reason {
				t.Errorf("the event %+v, the answer %+v", kept, d)
			}
			if text, there := s.get("/outcome"); there {
				sameOutcome(t, text, e.Outcome)
			}
			if in, there := s.get("/input"); there && (in != test.body || s.types["/input"] != tk.Request.ContentType || !kept.Input.Stored) {
				t.Errorf("input %q as %q, %+v", in, s.types["/input"], kept.Input)
			}
			if zipped, there := s.get("/result"); there {
				if !kept.Result.Stored || kept.Result.Size != int64(len(zipped)) || d.kind == "zip" && zipped != string(d.body) {
					t.Errorf("result of %d bytes, %+v", len(zipped), kept.Result)
				}
				if (&done{body: []byte(zipped)}).files(t)["stdout"] != "" && test.name != "must" && test.name != "all" {
					t.Error("the zip is not the result")
				}
			}
			if log, there := s.get("/log"); there && (log != d.log || !kept.LogStored) {
				t.Errorf("log %q", log)
			}
		})
	}
}

func TestStoreAwayDelaysNothingAndIsTriedAgain(t *testing.T) {
	w := newWorker(t, nil)
	s := newStore(t)
	s.setRefuse(func(*http.Request) int { return http.StatusServiceUnavailable })
	events := watch(t, w)
	tk := newTask(t, "cat body", func(tk *task.Task) { tk.Put, tk.Keep = s.puts(), faas.KeepAll })
	c := start(t, w, tk, "input")
	d := finish(t, c)
	if d.Reason != "" || d.files(t)["stdout"] != "input" {
		t.Fatalf("%+v", d.Outcome)
	}
	if d := call(t, w, newTask(t, "true", nil), ""); d.Reason != "" { // the slot is free
		t.Fatalf("%+v", d.Outcome)
	}
	if held := w.Owned(); len(held) == 0 || !held[0].Ended {
		t.Fatalf("held %+v", held)
	}
	s.setRefuse(nil)
	if e := await(t, events, task.EventStored); !e.Outcome.Result.Stored || !e.Outcome.Input.Stored || !e.Outcome.LogStored {
		t.Fatalf("%+v", e.Outcome)
	}
	testenv.Eventually(t, "the call to be forgotten", func() bool { return len(w.Owned()) == 0 })
}

func TestAKeptCallThatCannotBeStoredSaysSo(t *testing.T) {
	for _, must := range []bool{true, false} {
		w := newWorker(t, nil)
		s := newStore(t)
		s.setRefuse(func(r *http.Request) int {
			if r.URL.Path == "/result" {
				return http.StatusForbidden
			}
			return 0
		})
		events := watch(t, w)
		tk := newTask(t, "true", func(tk *task.Task) { tk.Put, tk.Keep, tk.MustKeep = s.puts(), faas.KeepAll, must })
		c := start(t, w, tk, "input")
		e := await(t, events, task.EventStored)
		want := faas.Reason("")
		if must {
			want = faas.ReasonStoreUnavailable
		}
		if e.Outcome.Reason != want || e.Outcome.Result.Stored || !e.Outcome.Input.Stored || *e.Outcome.ExitCode != 0 {
			t.Fatalf("must %v: %+v", must, e.Outcome)
		}
		if h := c.held(); h.Outcome.Reason != want {
			t.Fatalf("held %+v", h.Outcome)
		}
		a, err := c.Answer(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if a.Body != nil {
			_ = a.Body.Close()
		}
		c.Ack()
		testenv.Eventually(t, "the call to be forgotten", func() bool { return len(w.Owned()) == 0 })
		_ = w.Close()
	}
}

func TestInputIsStoredWhileTheCommandRuns(t *testing.T) {
	for name, test := range map[string]struct {
		keep faas.Keep
		must bool
		ask  bool
		body string
	}{
		"kept":               {faas.KeepAll, false, false, "input"},
		"must":               {faas.KeepNone, true, false, "input"},
		"asked for":          {faas.KeepNone, false, true, "input"},
		"asked for, no body": {faas.KeepNone, false, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorker(t, nil)
			s := newStore(t)
			events := watch(t, w)
			tk := newTask(t, "while ! [ -e $DAVIT_SHARED/go ]; do sleep 0.01; done", func(tk *task.Task) {
				tk.Put, tk.Keep, tk.MustKeep = s.puts(), test.keep, test.must
			})
			c := start(t, w, tk, test.body)
			if test.ask {
				c.Keep()
			}
			e := await(t, events, task.EventInputStored)
			if got, _ := s.get("/input"); got != test.body || !e.Input.Stored || e.Input.Size != int64(len(test.body)) {
				t.Fatalf("input %q, %+v", got, e.Input)
			}
			if h := w.Owned()[0]; h.Ended || !h.Record.Input.Stored {
				t.Fatalf("held %+v", h)
			}
			must(t, touch(w.shared+"/go"))
			finish(t, c)
			testenv.Eventually(t, "the call to be forgotten", func() bool { return len(w.Owned()) == 0 })
			if _, there := s.get("/result"); !there {
				t.Fatal("the result is not stored")
			}
			c.Keep()
		})
	}
}

func TestInputFromTheStore(t *testing.T) {
	contentType, body := multipart([3]string{"f", "a.txt", "content"}, [3]string{"n", "", "5"})
	tests := []struct {
		name   string
		change func(*task.Task, *store)
		reason faas.Reason
		want   string
	}{
		{name: "there", want: "content5"},
		{name: "away for a while", change: func(_ *task.Task, s *store) {
			tries := 0
			s.setRefuse(func(*http.Request) int {
				if tries++; tries < 3 {
					return http.StatusBadGateway
				}
				return 0
			})
		}, want: "content5"},
		{name: "gone", change: func(tk *task.Task, s *store) { tk.InputURL = s.url + "/nowhere" }, reason: faas.ReasonStoreUnavailable},
		{name: "another", change: func(tk *task.Task, _ *store) { tk.Record.Input = &faas.Input{SHA256: "other"} }, reason: faas.ReasonStoreUnavailable},
		{name: "away for ever", change: func(tk *task.Task, _ *store) {
			tk.InputURL, tk.Timeout = "http://127.0.0.1:1/x", faas.Duration(300*time.Millisecond)
		}, reason: faas.ReasonStoreUnavailable},
		{name: "malformed", change: func(tk *task.Task, _ *store) { tk.Request.ContentType = "multipart/form-data; boundary=other" }, reason: faas.ReasonInputInvalid},
	}
	w := newWorker(t, nil)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newStore(t)
			s.put("/input", body, "")
			tk := newTask(t, `cat a.txt; printf %s "$DAVIT_FIELD_N"`, func(tk *task.Task) {
				tk.InputURL, tk.Request.ContentType = s.url+"/input", contentType
				if test.change != nil {
					test.change(tk, s)
				}
			})
			d := call(t, w, tk, "")
			if d.Reason != test.reason || !d.Input.Stored {
				t.Fatalf("%+v", d.Outcome)
			}
			if test.reason == "" && (d.files(t)["stdout"] != test.want || d.Input.Size != int64(len(body))) {
				t.Fatalf("%v %+v", d.files(t), d.Input)
			}
		})
	}
	c := start(t, w, newTask(t, "true", func(tk *task.Task) { tk.InputURL = "http://127.0.0.1:1/x" }), "")
	c.Cancel()
	if d := finish(t, c); d.Reason != faas.ReasonCancelled {
		t.Fatalf("cancelled while fetching: %+v", d.Outcome)
	}
}
