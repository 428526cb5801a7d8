package hub_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"davit/gateway/hub"
	"davit/internal/faas"
	"davit/internal/task"
	"davit/internal/testenv"
	"davit/runner/park/parktest"
)

// untouched fails the test when it is read.
type untouched struct{ t *testing.T }

func (u untouched) Read([]byte) (int, error) {
	u.t.Error("the stream was read before the runner took the call")
	return 0, io.EOF
}

func TestInvokeKeepsConnection(t *testing.T) {
	g := newGateway(t, "g1")
	p := newProxy(t, g.address)
	l := parktest.NewLedger()
	newRunner(t, hello("r1", "warm", 1), parktest.NewWorker(1, l.Add), p.address)
	for _, size := range []int{0, 1, 100, 64 << 10, 100 << 10} {
		for _, stream := range []bool{false, true} {
			id, input := newID(t), strings.Repeat("x", size)
			body := hub.Body{Small: []byte(input)}
			if stream {
				body = hub.Body{Stream: iotest.OneByteReader(io.LimitReader(strings.NewReader(input), 1<<10)), Size: -1}
				input = input[:min(size, 1<<10)]
			}
			a, err := g.claim(t, warm(id)).Invoke(t.Context(), newTask(id), body, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := readAll(t, a); got != input || a.Kind != "zip" || a.Outcome.Runner != "r1" {
				t.Errorf("%d bytes: answer %+v, body of %d bytes", size, a, len(got))
			}
			if n := l.Ran(id); n != 1 {
				t.Errorf("ran %d times", n)
			}
		}
	}
	if n := p.accepted(); n != 2 {
		t.Errorf("the runner dialled %d times, want 2: one for control, one for its slot", n)
	}
}

func TestInvokeErrors(t *testing.T) {
	broken := errors.New("the caller hung up")
	bound := errors.New("bound elsewhere")
	refuse := "no such field"
	long := strings.Repeat("long", 1<<20)
	for _, tt := range []struct {
		name   string
		worker func(w *parktest.Worker)
		body   func(t *testing.T) hub.Body
		commit func(context.Context) error
		want   []error
		is     func(err error) bool
		reason faas.Reason
		ran    int
	}{
		{
			name:   "no slot",
			worker: func(w *parktest.Worker) { w.Full = true },
			body:   func(t *testing.T) hub.Body { return hub.Body{Stream: untouched{t}, Size: -1} },
			want:   []error{hub.ErrRefused},
		},
		{
			name: "the stream fails",
			body: func(*testing.T) hub.Body {
				return hub.Body{Stream: io.MultiReader(strings.NewReader("part"), iotest.ErrReader(broken)), Size: -1}
			},
			want: []error{broken},
			is:   func(err error) bool { _, ok := errors.AsType[*hub.BodyError](err); return ok },
		},
		{
			name: "the stream is short",
			body: func(*testing.T) hub.Body { return hub.Body{Stream: strings.NewReader("part"), Size: 5} },
			want: []error{io.ErrUnexpectedEOF},
			is:   func(err error) bool { _, ok := errors.AsType[*hub.BodyError](err); return ok },
		},
		{
			name: "the stream is long",
			body: func(*testing.T) hub.Body { return hub.Body{Stream: strings.NewReader("whole"), Size: 4} },
			is:   func(err error) bool { _, ok := errors.AsType[*hub.BodyError](err); return ok },
		},
		{
			name:   "the commit is refused",
			body:   func(*testing.T) hub.Body { return hub.Body{Small: []byte("x")} },
			commit: func(context.Context) error { return bound },
			want:   []error{hub.ErrNotRun, bound},
		},
		{
			name:   "the commit of a stream is refused",
			body:   func(*testing.T) hub.Body { return hub.Body{Stream: strings.NewReader("whole"), Size: 5} },
			commit: func(context.Context) error { return bound },
			want:   []error{hub.ErrNotRun, bound},
		},
		{
			name: "the body is too large",
			body: func(*testing.T) hub.Body { return hub.Body{Stream: strings.NewReader(long[:2<<20]), Size: 2 << 20} },
			want: []error{hub.ErrNotRun},
			is:   func(err error) bool { return faas.KindOf(err) == faas.TooLarge },
		},
		{
			name:   "the input is refused by its beginning",
			worker: func(w *parktest.Worker) { w.Check = func(*task.Task, []byte) *string { return &refuse } },
			body:   func(*testing.T) hub.Body { return hub.Body{Stream: strings.NewReader(long), Size: -1} },
			reason: faas.ReasonInputInvalid,
		},
		{
			name:   "the small input is refused",
			worker: func(w *parktest.Worker) { w.Check = func(*task.Task, []byte) *string { return &refuse } },
			body:   func(*testing.T) hub.Body { return hub.Body{Small: []byte("x")} },
			reason: faas.ReasonInputInvalid,
		},
		{
			name:   "the result breaks off",
			worker: func(w *parktest.Worker) { w.Result = brokenResult },
			body:   func(*testing.T) hub.Body { return hub.Body{Small: []byte("x")} },
			want:   []error{io.ErrUnexpectedEOF},
			ran:    1,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := newGateway(t, "g1")
			l := parktest.NewLedger()
			w := parktest.NewWorker(1, l.Add)
			if tt.worker != nil {
				tt.worker(w)
			}
			newRunner(t, hello("r1", "warm", 1), w, g.address)
			id := newID(t)
			slot := g.claim(t, warm(id))
			tk := newTask(id)
			tk.MaxBody = 1 << 20
			a, err := slot.Invoke(t.Context(), tk, tt.body(t), tt.commit)
			if err == nil {
				_, err = io.ReadAll(a.Body)
				_ = a.Body.Close()
			}
			for _, want := range tt.want {
				if !errors.Is(err, want) {
					t.Errorf("error %v, want %v", err, want)
				}
			}
			switch {
			case tt.is != nil && !tt.is(err):
				t.Errorf("error %v is of the wrong kind", err)
			case tt.reason != "" && (err != nil || a.Outcome.Reason != tt.reason || a.Outcome.Detail != refuse):
				t.Errorf("error %v, answer %+v", err, a)
			}
			if n := l.Ran(id); n != tt.ran {
				t.Errorf("ran %d times, want %d", n, tt.ran)
			}
			if tt.worker == nil { // the slot is there again
				a, err := g.invoke(t.Context(), warm(newID(t)), hub.Body{Small: []byte("next")})
				if err != nil {
					t.Fatal(err)
				}
				if got := readAll(t, a); got != "next" {
					t.Errorf("the next call got %q", got)
				}
			}
		})
	}
}

func brokenResult(*task.Task, []byte, int64) (task.Outcome, io.Reader) {
	return task.Outcome{}, io.MultiReader(strings.NewReader(strings.Repeat("x", 100<<10)), iotest.ErrReader(errors.New("disk")))
}

// An early answer stops what is being sent: a refused input of any length is not sent to its end.
func TestInvokeStopsSending(t *testing.T) {
	g := newGateway(t, "g1")
	w := parktest.NewWorker(1, parktest.NewLedger().Add)
	why := "no such field"
	w.Check = func(*task.Task, []byte) *string { return &why }
	newRunner(t, hello("r1", "warm", 1), w, g.address)
	id := newID(t)
	endless := iotest.DataErrReader(zeros{})
	a, err := g.claim(t, warm(id)).Invoke(t.Context(), newTask(id), hub.Body{Stream: endless, Size: -1}, nil)
	if err != nil || a.Outcome.Reason != faas.ReasonInputInvalid {
		t.Fatalf("answer %+v, error %v", a, err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestInvokeContext(t *testing.T) {
	t.Run("ends before the commit", func(t *testing.T) {
		g, l := newGateway(t, "g1"), parktest.NewLedger()
		newRunner(t, hello("r1", "warm", 1), parktest.NewWorker(1, l.Add), g.address)
		ctx, cancel := context.WithCancel(t.Context())
		id := newID(t)
		r, w := io.Pipe()
		go func() {
			_, _ = w.Write([]byte("part"))
			cancel()
			_, _ = w.Write([]byte("more"))
			_ = w.Close()
		}()
		_, err := g.claim(t, warm(id)).Invoke(ctx, newTask(id), hub.Body{Stream: r, Size: -1}, nil)
		_ = r.Close()
		if !errors.Is(err, hub.ErrNotRun) || !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		g.until(t, "the call is given back", func() bool { return g.happened(task.EventReleased, id) })
		if n := l.Ran(id); n != 0 {
			t.Errorf("ran %d times", n)
		}
	})
	t.Run("ends in the commit", func(t *testing.T) {
		g, l := newGateway(t, "g1"), parktest.NewLedger()
		newRunner(t, hello("r1", "warm", 1), parktest.NewWorker(1, l.Add), g.address)
		ctx, cancel := context.WithCancel(t.Context())
		id := newID(t)
		_, err := g.claim(t, warm(id)).Invoke(ctx, newTask(id), hub.Body{}, func(context.Context) error {
			cancel()
			return ctx.Err()
		})
		if !errors.Is(err, hub.ErrNotRun) || !errors.Is(err, context.Canceled) || l.Ran(id) != 0 {
			t.Errorf("error %v, ran %d times", err, l.Ran(id))
		}
	})
	t.Run("ends after the commit", func(t *testing.T) {
		g, l := newGateway(t, "g1"), parktest.NewLedger()
		w := parktest.NewWorker(1, l.Add)
		w.Gate = make(chan struct{})
		newRunner(t, hello("r1", "warm", 1), w, g.address)
		ctx, cancel := context.WithCancel(t.Context())
		id := newID(t)
		go func() {
			g.until(t, "the call runs", func() bool { return g.happened(task.EventRunning, id) })
			cancel()
		}()
		_, err := g.claim(t, warm(id)).Invoke(ctx, newTask(id), hub.Body{Small: []byte("x")}, nil)
		if !errors.Is(err, hub.ErrInDoubt) || !errors.Is(err, context.Canceled) {
			t.Fatalf("error %v", err)
		}
		close(w.Gate)
		a, err := g.Attach(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if got := readAll(t, a); got != "x" || l.Ran(id) != 1 {
			t.Errorf("body %q, ran %d times", got, l.Ran(id))
		}
	})
	t.Run("ends after the answer", func(t *testing.T) {
		g := newGateway(t, "g1")
		newRunner(t, hello("r1", "warm", 1), parktest.NewWorker(1, parktest.NewLedger().Add), g.address)
		ctx, cancel := context.WithCancel(t.Context())
		id, input := newID(t), strings.Repeat("x", 1<<20)
		a, err := g.claim(t, warm(id)).Invoke(ctx, newTask(id), hub.Body{Stream: strings.NewReader(input), Size: -1}, nil)
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		if got := readAll(t, a); got != input {
			t.Errorf("body of %d bytes", len(got))
		}
	})
}

// A runner that takes the connection and says nothing is left after a second.
func TestInvokeSilence(t *testing.T) {
	inMemory(t, 1, func(t *testing.T, n *testenv.Network, g *gateway) {
		id := newID(t)
		slot := g.claim(t, warm(id))
		n.Freeze()
		begun := time.Now()
		_, err := slot.Invoke(t.Context(), newTask(id), hub.Body{Stream: untouched{t}, Size: -1}, nil)
		if !errors.Is(err, hub.ErrRefused) {
			t.Errorf("error %v", err)
		}
		if took := time.Since(begun); took != time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// A reader that lets the connection's buffers stay full for longer than a dead peer may be silent is waited for.
func TestInvokeSlowReader(t *testing.T) {
	t.Parallel()
	g := newGateway(t, "g1")
	w := parktest.NewWorker(1, parktest.NewLedger().Add)
	const size = 64 << 20
	w.Result = func(*task.Task, []byte, int64) (task.Outcome, io.Reader) {
		return task.Outcome{}, io.LimitReader(zeros{}, size)
	}
	newRunner(t, hello("r1", "warm", 1), w, g.address)
	id := newID(t)
	a, err := g.claim(t, warm(id)).Invoke(t.Context(), newTask(id), hub.Body{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	<-time.After(12 * time.Second)
	if n, err := io.Copy(io.Discard, a.Body); n != size || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
}

// Closing a result early gives the connection up, not the invocation.
func TestAnswerClosedEarly(t *testing.T) {
	g := newGateway(t, "g1")
	l := parktest.NewLedger()
	newRunner(t, hello("r1", "warm", 1), parktest.NewWorker(1, l.Add), g.address)
	id, input := newID(t), bytes.Repeat([]byte("x"), 8<<20)
	a, err := g.claim(t, warm(id)).Invoke(t.Context(), newTask(id), hub.Body{Stream: bytes.NewReader(input), Size: -1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Body.Read(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	if err := a.Body.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(a.Body); err == nil {
		t.Error("a closed body looks whole")
	}
	again, err := g.Attach(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, again); got != string(input) || l.Ran(id) != 1 {
		t.Errorf("attached: body of %d bytes, ran %d times", len(got), l.Ran(id))
	}
	next := newID(t)
	a, err = g.invoke(t.Context(), warm(next), hub.Body{Small: []byte("next")})
	if err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, a); got != "next" {
		t.Errorf("the next call got %q", got)
	}
}
