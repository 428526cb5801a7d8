package dispatch

import (
	"strings"
	"testing"
	"time"

	"davit/internal/blob"
	"davit/internal/faas"
)

// stored lists what the store has of an invocation.
func (r *rig) stored(id faas.InvocationID) (keys []string) {
	r.t.Helper()
	for info, err := range r.Objects.List(r.t.Context(), "invocations/"+string(id)+"/", "") {
		if err != nil {
			r.t.Fatal(err)
		}
		keys = append(keys, string(info.Key))
	}
	return keys
}

// goes reports whether sweeping leaves nothing of an invocation, its record included.
func (r *rig) goes(id faas.InvocationID) bool {
	r.sweep(r.t.Context())
	_, err := r.Find(r.t.Context(), id, 0)
	return faas.KindOf(err) == faas.NotFound && len(r.stored(id)) == 0
}

// TestSweepWaitsForUploads: what a runner has yet to store when its time is over is removed, too.
func TestSweepWaitsForUploads(t *testing.T) {
	trigger := sh("echo done")
	trigger.Retention = faas.Duration(time.Millisecond)
	r := newRig(t, faas.FunctionSpec{}, trigger)
	r.away.Store(true)
	reply, err := r.Call(t.Context(), r.request("x"))
	if err != nil {
		t.Fatal(err)
	}
	read(t, reply)
	id := reply.Invocation.ID
	r.final(id)
	r.skew.Add(int64(time.Second))
	if r.goes(id) {
		t.Error("it was swept while its runner had all of it")
	}
	r.away.Store(false)
	until(t, "nothing is left", func() bool { return r.goes(id) })
}

// TestSweepComesAgain: what a runner that is out of touch stores after the sweep is removed when its URLs have ended.
func TestSweepComesAgain(t *testing.T) {
	trigger := sh("true")
	trigger.Retention = faas.Duration(time.Millisecond)
	r := newRig(t, warm(), trigger)
	reply, err := r.Call(t.Context(), r.request(""))
	if err != nil {
		t.Fatal(err)
	}
	read(t, reply)
	id := reply.Invocation.ID
	r.skew.Add(int64(time.Second))
	until(t, "nothing is left", func() bool { return r.goes(id) })
	late := outcomeKey(id, 1)
	if _, err := r.Objects.Put(t.Context(), late, strings.NewReader("{}"), 2, blob.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if r.goes(id) {
		t.Fatal("it was swept while its runner could still store something")
	}
	r.skew.Add(int64(r.signedFor(r.trigger.Timeout)))
	if !r.goes(id) {
		t.Errorf("left are %v", r.stored(id))
	}
	if due, err := r.Archive.ExpiredInvocations(t.Context(), r.Now().Add(time.Hour), 10); err != nil || len(due) != 0 {
		t.Errorf("to be swept are %v, %v", due, err)
	}
}
