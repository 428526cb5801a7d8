package recovery_test

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"davit/gateway/dispatch/dispatchtest"
	"davit/gateway/objects"
	"davit/internal/blob"
	"davit/internal/faas"
	"davit/internal/testenv"
)

// TestBoundButNeverSent: a gateway that is killed between the binding of an accepted invocation and the end of its body
// leaves it bound to a runner that never got the whole of it. The invocation goes to a runner once more, and runs once.
func TestBoundButNeverSent(t *testing.T) {
	dir := t.TempDir()
	gate, ran := filepath.Join(dir, "gate"), filepath.Join(dir, "ran")
	r := dispatchtest.New(t, dispatchtest.Warm(), dispatchtest.Sh("until [ -e "+gate+" ]; do sleep 0.01; done; echo $DAVIT_INVOCATION_ID >>"+ran))
	first, second := async(t, r), async(t, r) // the second one waits for the only slot, so that its record has a task
	var runner faas.RunnerID
	testenv.Eventually(t, "the first one runs", func() (owned bool) { runner, owned = r.Hub.Owner(first); return owned })

	left, err := r.Store.FindInvocation(t.Context(), second)
	if err != nil {
		t.Fatal(err)
	}
	left.ID, left.State, left.Inner.Gateway = dispatchtest.NewID(t), faas.Starting, "gw-dead"
	copyObject(t, r.Objects, objects.Input(second), objects.Input(left.ID))
	if err := r.Store.Enqueue(t.Context(), left, time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if err := r.Store.Bind(t.Context(), left.ID, left.Attempt, runner); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "this gateway leads it", func() bool { return r.Calls.Leads(left.ID) })
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, id := range []faas.InvocationID{first, second, left.ID} {
		if inv := r.Final(id); inv.State != faas.Succeeded {
			t.Errorf("%s: %s, %+v", id, inv.State, inv.Reason)
		}
	}
	text, err := os.ReadFile(ran)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), string(left.ID)); n != 1 {
		t.Errorf("its command ran %d times", n)
	}
}

func async(t *testing.T, r *dispatchtest.Rig) faas.InvocationID {
	t.Helper()
	request := r.Request("x")
	request.Async = true
	reply, err := r.Call(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	return reply.Invocation.ID
}

func copyObject(t *testing.T, store blob.Store, from, to blob.Key) {
	t.Helper()
	body, info, err := store.Get(context.WithoutCancel(t.Context()), from, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = body.Close() }()
	text, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Put(t.Context(), to, strings.NewReader(string(text)), info.Size, blob.PutOptions{}); err != nil {
		t.Fatal(err)
	}
}
