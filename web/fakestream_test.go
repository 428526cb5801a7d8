package web_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
)

// tell sends an event to all streams.
func (f *fake) tell(change object) {
	data, _ := json.Marshal(change)
	f.mu.Lock()
	defer f.mu.Unlock()
	for events := range f.streams {
		select {
		case events <- fmt.Sprintf("event: %s\ndata: %s\n\n", change["kind"], data):
		default: // a stream that is too slow gets the next resync
		}
	}
}

// cut closes all event streams.
func (f *fake) cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, end := range f.streams {
		end()
	}
}

func (f *fake) events(w http.ResponseWriter, r *http.Request) {
	events, over := make(chan string, 64), make(chan struct{})
	f.mu.Lock()
	f.streams[events] = sync.OnceFunc(func() { close(over) })
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		delete(f.streams, events)
		f.mu.Unlock()
	}()
	w.Header().Set("Content-Type", "text/event-stream")
	text := "event: resync\ndata: {\"kind\":\"resync\"}\n\n"
	for {
		_, _ = io.WriteString(w, text)
		w.(http.Flusher).Flush()
		select {
		case text = <-events:
		case <-over:
			return
		case <-r.Context().Done():
			return
		}
	}
}

// fakeLog is a log that grows.
type fakeLog struct {
	mu    sync.Mutex
	text  []byte
	ended bool
	more  chan struct{} // closed when there is more
	froms []string      // the offsets at which readers began
}

func (f *fake) logOf(path string) *fakeLog {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.logs[path] == nil {
		f.logs[path] = &fakeLog{more: make(chan struct{})}
	}
	return f.logs[path]
}

func (l *fakeLog) write(text string, end bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, text...)
	l.ended = l.ended || end
	close(l.more)
	l.more = make(chan struct{})
}

func (f *fake) log(w http.ResponseWriter, r *http.Request) {
	l := f.logOf(r.URL.Path)
	from := 0
	_, _ = fmt.Sscan(r.URL.Query().Get("from"), &from)
	l.mu.Lock()
	l.froms = append(l.froms, r.URL.Query().Get("from"))
	l.mu.Unlock()
	if !strings.Contains(r.Header.Get("Accept"), "event-stream") {
		l.mu.Lock()
		defer l.mu.Unlock()
		_, _ = w.Write(l.text)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	for {
		l.mu.Lock()
		text, ended, more := bytes.Clone(l.text[from:]), l.ended, l.more
		l.mu.Unlock()
		from += len(text)
		if len(text) > 0 {
			_, _ = fmt.Fprintf(w, "id: %d\ndata: %s\n\n", from, strings.ReplaceAll(string(text), "\n", "\ndata: "))
		}
		if ended {
			_, _ = fmt.Fprintf(w, "event: end\nid: %d\ndata: \n\n", from)
			return
		}
		w.(http.Flusher).Flush()
		select {
		case <-more:
		case <-r.Context().Done():
			return
		}
	}
}

// register answers a posted form as the gateway does.
func (f *fake) register(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	uploading := f.uploading
	f.mu.Unlock()
	if uploading != nil {
		select {
		case <-uploading:
		case <-r.Context().Done():
			return
		}
	}
	if err := r.ParseMultipartForm(32 << 20); err != nil {
		sendProblem(w, object{"status": 400, "kind": "invalid", "title": "The request cannot be read", "detail": err.Error()})
		return
	}
	defer func() { _ = r.MultipartForm.RemoveAll() }()
	values := r.MultipartForm.Value
	for name, files := range r.MultipartForm.File {
		values[name+":size"] = []string{fmt.Sprint(files[0].Size)}
	}
	f.mu.Lock()
	f.forms = append(f.forms, values)
	f.mu.Unlock()
	wantsJSON := strings.Contains(r.Header.Get("Accept"), "application/json")
	switch {
	case !wantsJSON:
		http.Redirect(w, r, "/", http.StatusSeeOther)
	case r.FormValue("kind") == "trigger":
		t := aTrigger(strings.Trim(r.FormValue("url"), "/"), r.FormValue("image"), r.FormValue("url"))
		f.mu.Lock()
		f.triggers = append(f.triggers, t)
		f.mu.Unlock()
		send(w, http.StatusCreated, t)
	default:
		fn := aFunction(r.FormValue("name"), 1, "building")
		f.mu.Lock()
		f.functions = append(f.functions, fn)
		f.mu.Unlock()
		send(w, http.StatusAccepted, fn)
	}
}

func (f *fake) putExample(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseMultipartForm(1 << 20); err != nil || len(r.MultipartForm.File["source"]) != 1 {
		sendProblem(w, object{"status": 400, "kind": "invalid", "title": "The request cannot be read", "detail": "no source"})
		return
	}
	fn := aFunction(r.PathValue("name"), 1, "ready")
	f.mu.Lock()
	f.functions = append(f.functions, fn)
	f.mu.Unlock()
	send(w, http.StatusCreated, fn)
}

func (f *fake) putTrigger(w http.ResponseWriter, r *http.Request) {
	var spec object
	_ = json.NewDecoder(r.Body).Decode(&spec)
	t := aTrigger(r.PathValue("name"), spec["function"].(string), spec["path"].(string))
	f.mu.Lock()
	f.triggers = append(f.triggers, t)
	f.mu.Unlock()
	send(w, http.StatusCreated, t)
}
