package work

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"davit/internal/faas"
	"davit/internal/task"
)

// parter is a gateway that hands out parts of a thousand bytes.
type parter struct {
	*store
	fails bool
	none  bool

	mu     sync.Mutex
	wanted []task.PartsWanted
	done   []task.PartsDone
}

// BeginParts implements Parts.
func (p *parter) BeginParts(_ context.Context, _ faas.InvocationID, w task.PartsWanted) (*task.Parts, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wanted = append(p.wanted, w)
	switch {
	case p.fails:
		return nil, errors.New("no")
	case p.none:
		return &task.Parts{}, nil
	}
	parts := &task.Parts{Upload: "u", PartBytes: 1000}
	for from := int64(0); from < w.Size; from += parts.PartBytes {
		parts.URLs = append(parts.URLs, p.url+"/"+string(w.Object)+"/"+strconv.Itoa(len(parts.URLs)))
	}
	return parts, nil
}

// CompleteParts implements Parts.
func (p *parter) CompleteParts(_ context.Context, _ faas.InvocationID, d task.PartsDone) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done = append(p.done, d)
	return nil
}

func (p *parter) seen() (wanted []task.PartsWanted, done []task.PartsDone) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.wanted, p.done
}

func TestLargeObjectsGoInParts(t *testing.T) {
	parts := []string{strings.Repeat("1", 1000), strings.Repeat("2", 1000), strings.Repeat("3", 1000), "end"}
	input := strings.Join(parts, "")
	for _, test := range []struct {
		name   string
		change func(*parter)
		want   []string // parts of the input that are there
		stored bool
	}{
		{name: "in parts", want: parts, stored: true},
		{name: "a store that takes any size", change: func(p *parter) { p.none = true }, stored: true},
		{name: "no gateway that helps", change: func(p *parter) { p.fails = true }},
		{name: "a part is refused", change: func(p *parter) {
			p.refuse = func(r *http.Request) int {
				if r.URL.Path == "/input/1" {
					return http.StatusForbidden
				}
				return 0
			}
		}, want: parts[:1]},
		{name: "a part needs another try", change: func(p *parter) {
			var once sync.Once
			p.refuse = func(r *http.Request) (status int) {
				if r.URL.Path == "/input/1" {
					once.Do(func() { status = http.StatusBadGateway })
				}
				return status
			}
		}, want: parts, stored: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := &parter{store: newStore(t)}
			if test.change != nil {
				test.change(p)
			}
			w := newWorker(t, func(_ *task.Launch, o *Options) { o.Parts, o.OnePut = p, 3000 })
			events := watch(t, w)
			tk := newTask(t, "echo small >&2; exit 1", func(tk *task.Task) { tk.Put, tk.Keep = p.puts(), faas.KeepAll })
			call(t, w, tk, input)
			e := await(t, events, task.EventStored)
			if e.Outcome.Input.Stored != test.stored {
				t.Errorf("%+v", e.Outcome.Input)
			}
			var got []string
			for i := range 4 {
				if part, there := p.get("/input/" + strconv.Itoa(i)); there {
					got = append(got, part)
				}
			}
			if strings.Join(got, "|") != strings.Join(test.want, "|") {
				t.Errorf("got %d parts of the input, or others", len(got))
			}
			wanted, done := p.seen()
			if len(wanted) != 1 || wanted[0].Object != task.PartInput || wanted[0].Size != int64(len(input)) || wanted[0].For <= 0 {
				t.Errorf("asked for %+v: only the input is too large for one PUT", wanted)
			}
			completed := test.stored && len(test.want) > 0
			if completed != (len(done) == 1) || completed && (len(done[0].ETags) != 4 || done[0].Upload != "u" || done[0].ETags[1] != etagOf(parts[1])) {
				t.Errorf("completed %d", len(done))
			}
			if whole, there := p.get("/input"); there != p.none || p.none && whole != input {
				t.Errorf("in one PUT: %d bytes", len(whole))
			}
			if _, there := p.get("/log"); !there {
				t.Error("the log, which is small, is not there")
			}
		})
	}
}
