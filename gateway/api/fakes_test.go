package api

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"davit/internal/blob"
	"davit/internal/faas"
	routing "davit/internal/faas/route"
)

const testID = faas.InvocationID("01912d68-783e-7a0a-9d5c-6d0c5e5f3a11")

func testTime() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }

// fakeCaller answers calls with a function of the test's.
type fakeCaller struct {
	answer func(ctx context.Context, call *faas.Call) (*faas.Reply, error)
}

func (f *fakeCaller) Call(ctx context.Context, call *faas.Call) (*faas.Reply, error) {
	return f.answer(ctx, call)
}

func succeeded() *faas.Invocation {
	zero := 0
	started := testTime()
	ended := started.Add(time.Second)
	return &faas.Invocation{
		ID: testID, Function: "echo", Revision: 1, Trigger: "echo", Mode: faas.ModeJob, Start: faas.StartJob,
		State: faas.Succeeded, ExitCode: &zero, Attempt: 1, CreatedAt: started, StartedAt: &started, EndedAt: &ended,
		Phases: faas.Phases{Queue: faas.Duration(1500 * time.Microsecond), Run: faas.Duration(40 * time.Millisecond)},
		Inner:  &faas.Inner{},
	}
}

// body is an answer's body that notes its closing.
type fakeBody struct {
	io.Reader
	closed chan struct{}
	once   sync.Once
}

func newFakeBody(r io.Reader) *fakeBody { return &fakeBody{Reader: r, closed: make(chan struct{})} }

func (b *fakeBody) Close() error {
	b.once.Do(func() { close(b.closed) })
	return nil
}

// fakeInvocations holds records and what they left.
type fakeInvocations struct {
	mu      sync.Mutex
	records map[faas.InvocationID]*faas.Invocation
	results map[faas.InvocationID][]byte
	log     func(ctx context.Context, from int64, follow bool) (io.ReadCloser, error)
	gets    int
	filter  faas.InvocationFilter
	waited  time.Duration
}

func (f *fakeInvocations) Find(_ context.Context, id faas.InvocationID, wait time.Duration) (*faas.Invocation, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waited = wait
	if inv := f.records[id]; inv != nil {
		return inv, nil
	}
	return nil, faas.Errorf(faas.NotFound, "no invocation %s", id)
}

func (f *fakeInvocations) List(_ context.Context, filter faas.InvocationFilter) ([]*faas.Invocation, string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.filter = filter
	var items []*faas.Invocation
	for _, inv := range f.records {
		items = append(items, inv)
	}
	return items, "more", nil
}

func (f *fakeInvocations) Result(ctx context.Context, id faas.InvocationID) (blob.Info, blob.Opener, *faas.Invocation, error) {
	inv, err := f.Find(ctx, id, 0)
	if err != nil {
		return blob.Info{}, nil, nil, err
	}
	data, ok := f.results[id]
	if !ok {
		return blob.Info{}, nil, nil, faas.Errorf(faas.Gone, "the result has expired")
	}
	open := func(offset, length int64) (io.ReadCloser, error) {
		f.mu.Lock()
		f.gets++
		f.mu.Unlock()
		end := int64(len(data))
		if length >= 0 {
			end = min(end, offset+length)
		}
		return io.NopCloser(bytes.NewReader(data[offset:end])), nil
	}
	return blob.Info{Size: int64(len(data)), ETag: "abc"}, open, inv, nil
}

func (f *fakeInvocations) ResultURL(_ context.Context, id faas.InvocationID, ttl time.Duration) (string, error) {
	return fmt.Sprintf("http://store.example/%s?for=%s", id, ttl), nil
}

func (f *fakeInvocations) Input(ctx context.Context, id faas.InvocationID) (blob.Info, io.ReadCloser, error) {
	if _, err := f.Find(ctx, id, 0); err != nil {
		return blob.Info{}, nil, err
	}
	return blob.Info{Size: 5, ContentType: "text/plain"}, io.NopCloser(strings.NewReader("input")), nil
}

func (f *fakeInvocations) Log(ctx context.Context, id faas.InvocationID, from int64, follow bool) (io.ReadCloser, error) {
	if _, err := f.Find(ctx, id, 0); err != nil {
		return nil, err
	}
	return f.log(ctx, from, follow)
}

func (f *fakeInvocations) Cancel(ctx context.Context, id faas.InvocationID) (*faas.Invocation, error) {
	return f.Find(ctx, id, 0)
}

func newFakeInvocations() *fakeInvocations {
	private := succeeded()
	private.ID = privateID
	private.Inner.Private = true
	return &fakeInvocations{
		records: map[faas.InvocationID]*faas.Invocation{testID: succeeded(), privateID: private},
		results: map[faas.InvocationID][]byte{},
		log: func(_ context.Context, from int64, _ bool) (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader("one\ntwo\n"[from:])), nil
		},
	}
}

const privateID = faas.InvocationID("01912d68-783e-7a0a-9d5c-6d0c5e5f3a22")

// triggersUnderTest is the triggers' server with its fakes.
type triggersUnderTest struct {
	*served
	caller      *fakeCaller
	invocations *fakeInvocations
	counted     *counted
}

func testTriggers() []*faas.Trigger {
	return []*faas.Trigger{
		{Name: "echo", TriggerSpec: faas.TriggerSpec{Function: "echo", Methods: []string{"GET", "POST"}, Path: "/echo/:name", MaxBody: 1 << 20, Access: faas.AccessPublic, Response: faas.ResponseZip}},
		{Name: "huge", TriggerSpec: faas.TriggerSpec{Function: "echo", Methods: []string{"POST", "PUT"}, Path: "/huge", MaxBody: 64 << 30, Access: faas.AccessPublic}},
		{Name: "private", TriggerSpec: faas.TriggerSpec{Function: "echo", Methods: []string{"POST"}, Path: "/private", MaxBody: 1 << 20, Access: faas.AccessToken}},
	}
}

func startTriggers(t testing.TB, limits Limits) *triggersUnderTest {
	t.Helper()
	table, err := routing.NewTable(testTriggers())
	if err != nil {
		t.Fatal(err)
	}
	log, buffer := newLog()
	u := &triggersUnderTest{invocations: newFakeInvocations(), counted: &counted{}}
	u.caller = &fakeCaller{answer: func(_ context.Context, call *faas.Call) (*faas.Reply, error) {
		var body []byte
		if call.Body != nil {
			if body, err = io.ReadAll(call.Body); err != nil {
				return nil, err
			}
		}
		text := fmt.Sprintf("%s %s?%s %d", call.Method, call.Path, call.Query, len(body))
		return &faas.Reply{Invocation: succeeded(), Kind: "file", Filename: "echo.txt", Body: newFakeBody(strings.NewReader(text))}, nil
	}}
	u.served = serve(t, NewTriggers(TriggerOptions{
		Matcher: table, Caller: u.caller, Invocations: u.invocations, Requests: u.counted,
		Token: testToken, Limits: limits, Log: log, Now: time.Now,
	}), buffer)
	return u
}
