package dispatch

import (
	"slices"
	"testing"

	"davit/internal/faas"
)

// TestListShowsWhatWasAnswered: the record of a call whose caller has the answer
// is listed, whatever is filtered for, and however fast the caller asks.
func TestListShowsWhatWasAnswered(t *testing.T) {
	r := newRig(t, warm(), sh("exit $(cat body)"))
	for i, body := range []string{"0", "1", "0", "1", "0", "1"} {
		want := faas.Succeeded
		var id faas.InvocationID
		reply, err := r.Call(t.Context(), r.request(body))
		if err != nil {
			want = faas.Failed
			_, _, id = reasonOf(t, err)
		} else {
			read(t, reply)
			id = reply.Invocation.ID
		}
		for _, f := range []faas.InvocationFilter{{State: want}, {}, {Function: "f", State: want}} {
			items, _, err := r.List(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(items, func(inv *faas.Invocation) bool { return inv.ID == id && inv.State == want }) {
				t.Errorf("call %d, %s: not in the list %+v", i, want, f)
			}
		}
	}
}
