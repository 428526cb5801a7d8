//go:build all

package e2e

import (
	"net/http"
	"testing"

	"davit/e2e/rig"
	"davit/internal/testenv"
)

// TestStoreKilled: without the store no call is accepted, and a caller that waits gets the result from the runner.
func TestStoreKilled(t *testing.T) {
	store := testenv.S3(t)
	g, l := newWorld(t, s3(store)...).start("data"), newLedger(t)
	slowTrigger(t, g, l, `{"mode": "warm", "warm": {"min": 1, "max": 1, "concurrency": 4}}`, "0")
	status(t, post(t, g, "/t", nil, rig.Part{Name: "x", Data: []byte("warm")}), http.StatusOK)
	before, known := l.total(), map[string]bool{}
	for _, r := range list(t, g, "f") {
		known[r.ID] = true
	}
	if len(known) != 1 {
		t.Errorf("%d records are listed after one call", len(known))
	}
	store.Kill()
	refused(t, "an async call", post(t, g, "/t", http.Header{"Prefer": {"respond-async"}}, rig.Part{Name: "x", Data: []byte("1")}))
	if n := l.total(); n != before {
		t.Errorf("%d commands ran for a refused call", n-before)
	}
	for _, r := range list(t, g, "f") {
		if !known[r.ID] && r.State != "failed" && r.State != "cancelled" {
			t.Errorf("a refused call left a record that may run: %+v", r)
		}
	}
	answer := post(t, g, "/t", nil, rig.Part{Name: "x", Data: []byte("2")})
	status(t, answer, http.StatusOK)
	if got := unzip(t, answer.Body)["out.txt"]; got != "done\n" {
		t.Errorf("out.txt is %q", got)
	}
	id := answer.Header.Get("Davit-Invocation")
	refused(t, "its result by id", get(t, g, "/-/invocations/"+id+"/result", nil))
	store.Start()
	testenv.EventuallyWithin(t, wait, "the runner has uploaded the result", func() bool {
		a := get(t, g, "/-/invocations/"+id+"/result", nil)
		return a.Status == http.StatusOK && string(a.Body) == string(answer.Body)
	})
	r := async(t, g, "/t", rig.Part{Name: "x", Data: []byte("3")})
	if r = await(t, g, r.ID); r.State != "succeeded" {
		t.Errorf("after the store is back: %+v", r)
	}
	l.once(t, r.ID)
	l.once(t, id)
}
