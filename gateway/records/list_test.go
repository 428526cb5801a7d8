package records_test

import (
	"slices"
	"strings"
	"testing"

	"davit/gateway/dispatch/dispatchtest"
	"davit/gateway/objects"
	"davit/internal/blob"
	"davit/internal/faas"
)

// TestListShowsWhatWasAnswered: the record of a call whose caller has the answer is listed, whatever is filtered for,
// and however fast the caller asks.
func TestListShowsWhatWasAnswered(t *testing.T) {
	r := dispatchtest.New(t, dispatchtest.Warm(), dispatchtest.Sh("exit $(cat body)"))
	for i, body := range []string{"0", "1", "0", "1", "0", "1"} {
		want := faas.Succeeded
		var id faas.InvocationID
		reply, err := r.Call(t.Context(), r.Request(body))
		if err != nil {
			want = faas.Failed
			_, _, id = dispatchtest.ReasonOf(t, err)
		} else {
			dispatchtest.Read(t, reply)
			id = reply.Invocation.ID
		}
		for _, f := range []faas.InvocationFilter{{State: want}, {}, {Function: "f", State: want}} {
			items, _, err := r.Records.List(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(items, func(inv *faas.Invocation) bool { return inv.ID == id && inv.State == want }) {
				t.Errorf("call %d, %s: not in the list %+v", i, want, f)
			}
		}
	}
}

// TestPartOfAnObjectIsNone: what a store took for a whole upload is not given out.
func TestPartOfAnObjectIsNone(t *testing.T) {
	r := dispatchtest.New(t, dispatchtest.Warm(), dispatchtest.Sh("true"))
	reply, err := r.Call(t.Context(), r.Request("input"))
	if err != nil {
		t.Fatal(err)
	}
	dispatchtest.Read(t, reply)
	id := reply.Invocation.ID
	if _, _, _, err := r.Records.Result(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	for _, key := range []blob.Key{objects.Result(id, 1), objects.Input(id)} {
		if _, err := r.Objects.Put(t.Context(), key, strings.NewReader("inp"), 3, blob.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	_, _, _, resultErr := r.Records.Result(t.Context(), id)
	_, _, inputErr := r.Records.Input(t.Context(), id)
	for _, err := range []error{resultErr, inputErr} {
		if faas.KindOf(err) != faas.Gone {
			t.Errorf("got %v", err)
		}
	}
}
