package records_test

import (
	"strings"
	"testing"
	"time"

	"davit/gateway/dispatch/dispatchtest"
	"davit/gateway/objects"
	"davit/internal/blob"
	"davit/internal/faas"
	"davit/internal/testenv"
)

// stored lists what the store has of an invocation.
func stored(t *testing.T, r *dispatchtest.Rig, id faas.InvocationID) (keys []string) {
	t.Helper()
	for info, err := range r.Objects.List(t.Context(), "invocations/"+string(id)+"/", "") {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, string(info.Key))
	}
	return keys
}

// goes reports whether sweeping leaves nothing of an invocation, its record included.
func goes(t *testing.T, r *dispatchtest.Rig, id faas.InvocationID) bool {
	t.Helper()
	r.Records.Sweep(t.Context())
	_, err := r.Records.Find(t.Context(), id, 0)
	return faas.KindOf(err) == faas.NotFound && len(stored(t, r, id)) == 0
}

// TestSweepWaitsForUploads: what a runner has yet to store when its time is over is removed, too.
func TestSweepWaitsForUploads(t *testing.T) {
	trigger := dispatchtest.Sh("echo done")
	trigger.Retention = faas.Duration(time.Millisecond)
	r := dispatchtest.New(t, faas.FunctionSpec{}, trigger)
	r.Away.Store(true)
	reply, err := r.Call(t.Context(), r.Request("x"))
	if err != nil {
		t.Fatal(err)
	}
	dispatchtest.Read(t, reply)
	id := reply.Invocation.ID
	r.Final(id)
	r.Skew.Add(int64(time.Second))
	if goes(t, r, id) {
		t.Error("it was swept while its runner had all of it")
	}
	r.Away.Store(false)
	testenv.Eventually(t, "nothing is left", func() bool { return goes(t, r, id) })
}

// TestSweepComesAgain: what a runner that is out of touch stores after the sweep is removed when its URLs have ended.
func TestSweepComesAgain(t *testing.T) {
	trigger := dispatchtest.Sh("true")
	trigger.Retention = faas.Duration(time.Millisecond)
	r := dispatchtest.New(t, dispatchtest.Warm(), trigger)
	reply, err := r.Call(t.Context(), r.Request(""))
	if err != nil {
		t.Fatal(err)
	}
	dispatchtest.Read(t, reply)
	id := reply.Invocation.ID
	r.Skew.Add(int64(time.Second))
	testenv.Eventually(t, "nothing is left", func() bool { return goes(t, r, id) })
	late := objects.Outcome(id, 1)
	if _, err := r.Objects.Put(t.Context(), late, strings.NewReader("{}"), 2, blob.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if goes(t, r, id) {
		t.Fatal("it was swept while its runner could still store something")
	}
	r.Skew.Add(int64(objects.SignedFor(2*time.Second, r.Trigger.Timeout)))
	if !goes(t, r, id) {
		t.Errorf("left are %v", stored(t, r, id))
	}
	if due, err := r.Store.ExpiredInvocations(t.Context(), time.Now().Add(2*time.Hour), 10); err != nil || len(due) != 0 {
		t.Errorf("to be swept are %v, %v", due, err)
	}
}
