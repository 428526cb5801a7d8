package hub_test

import (
	"testing"

	"davit/gateway/hub"
)

func TestInvokeSmall(t *testing.T) {
	g := newGateway(t, "g1")
	l := newLedger()
	newRunner(t, hello("r1", "warm", 1), newWorker(1, l), g.address)
	for range 3 {
		id := newID(t)
		a, err := g.claim(t, warm(id)).Invoke(t.Context(), newTask(id), hub.Body{Small: []byte("hello")}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := readAll(t, a); got != "hello" || a.Kind != "zip" || a.Outcome.Runner != "r1" {
			t.Errorf("answer %+v, body %q", a, got)
		}
		if n := l.ran(id); n != 1 {
			t.Errorf("ran %d times", n)
		}
	}
}
