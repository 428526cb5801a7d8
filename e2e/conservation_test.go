package e2e

import (
	"bufio"
	"bytes"
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"davit/e2e/rig"
	"davit/internal/testenv"
)

// sumMetric returns the sum of a metric's series whose labels contain the words.
func sumMetric(t *testing.T, metrics []byte, name string, words ...string) float64 {
	t.Helper()
	found, sum := false, 0.0
	s := bufio.NewScanner(bytes.NewReader(metrics))
	for s.Scan() {
		series, value, ok := strings.Cut(s.Text(), " ")
		if base, labels, _ := strings.Cut(series, "{"); ok && base == name {
			for _, word := range words {
				ok = ok && strings.Contains(labels, word)
			}
			if found = true; ok {
				v, err := strconv.ParseFloat(value, 64)
				if err != nil {
					t.Fatalf("%s: %v", s.Text(), err)
				}
				sum += v
			}
		}
	}
	if !found {
		t.Fatalf("/metrics has no %s", name)
	}
	return sum
}

// balance reads from /metrics how many invocations were begun, became final and are in flight.
func balance(t *testing.T, g *rig.Gateway) (accepted, final, inFlight float64) {
	t.Helper()
	m := admin(t, g, http.MethodGet, "/metrics", "").Body
	accepted = sumMetric(t, m, "davit_invocations_accepted_total")
	final = sumMetric(t, m, "davit_invocations_total")
	inFlight = sumMetric(t, m, "davit_invocations_in_flight")
	return accepted, final, inFlight
}

// TestConservation: after a mixed load, every invocation is final, and is counted once.
func TestConservation(t *testing.T) {
	g := newWorld(t).start("data")
	for mode, spec := range modes {
		function(t, g, mode, strings.TrimSuffix(spec, "}")+`, "max_concurrency": 3, "max_queue": {"calls": 9, "wait": "2s"}}`, tool(`sleep "$1"; exit "$2"`))
		trigger(t, g, mode, `{"function": "`+mode+`", "methods": ["POST"], "path": "/`+mode+`", "command": ["sh", "tool.sh", "{field:s}", "{field:code}"], "timeout": "1s", "wait": "500ms", "max_body": "4Ki", "on_disconnect": "cancel"}`)
	}
	var load sync.WaitGroup
	for i := range 60 {
		load.Go(func() { mixedCall(t, g, "/"+mixedModes[i%len(mixedModes)], i) })
	}
	load.Wait()
	var records []record
	defer func() {
		if !t.Failed() {
			return
		}
		for _, r := range records {
			if r.State != "succeeded" && r.State != "failed" && r.State != "cancelled" {
				t.Logf("not final: %+v", r)
			}
		}
		accepted, final, inFlight := balance(t, g)
		t.Logf("accepted %g, final %g, in flight %g, records %d", accepted, final, inFlight, len(records))
	}()
	testenv.EventuallyWithin(t, wait, "all are final", func() bool {
		records = nil
		for mode := range modes {
			records = append(records, list(t, g, mode)...)
		}
		for _, r := range records {
			if r.State != "succeeded" && r.State != "failed" && r.State != "cancelled" {
				return false
			}
		}
		_, _, inFlight := balance(t, g)
		return inFlight == 0
	})
	accepted, final, inFlight := balance(t, g)
	if accepted != final+inFlight || final != float64(len(records)) || len(records) == 0 {
		t.Errorf("accepted %g, final %g, in flight %g, records %d", accepted, final, inFlight, len(records))
	}
	m := admin(t, g, http.MethodGet, "/metrics", "").Body
	byOutcome := map[string]int{}
	for _, r := range records {
		outcome := r.State
		if r.Reason != nil {
			outcome = *r.Reason
		}
		byOutcome[outcome]++
	}
	t.Logf("%d records by outcome: %v", len(records), byOutcome)
	for outcome, n := range byOutcome {
		if got := sumMetric(t, m, "davit_invocations_total", `outcome="`+outcome+`"`); got != float64(n) {
			t.Errorf("metrics count %g of %s, records %d", got, outcome, n)
		}
	}
	if depth := sumMetric(t, m, "davit_queue_depth"); depth != 0 {
		t.Errorf("queue depth is %g", depth)
	}
}

// mixedModes are the modes of the functions of a mixed load, which it calls in turn.
var mixedModes = []string{"job", "standby", "warm"}

// mixedCall makes call i of a mixed load and returns its status; 0 if there is no answer.
func mixedCall(t *testing.T, g *rig.Gateway, path string, i int) int {
	seconds, code, size := "0.1", "0", 10
	header := http.Header{}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	switch i / len(mixedModes) % 7 {
	case 1:
		code = "3"
	case 2:
		seconds = "5" // times out
	case 3:
		header.Set("Prefer", "respond-async")
	case 4:
		size = 8 << 10 // too large
	case 5:
		seconds, code = "0.6", "0" // beyond the wait budget
	case 6:
		header.Set("Prefer", "wait=20")
		ctx, cancel = context.WithTimeout(ctx, 300e6) // the caller disconnects
		defer cancel()
		seconds = "0.9"
	}
	body, contentType, err := rig.Form(rig.Part{Name: "s", Data: []byte(seconds)}, rig.Part{Name: "code", Data: []byte(code)},
		rig.Part{Name: "pad", Filename: "pad", Data: make([]byte, size)})
	if err != nil {
		t.Error(err)
		return 0
	}
	header.Set("Content-Type", contentType)
	a, err := g.Call(ctx, http.MethodPost, path, body, header)
	if err != nil {
		if ctx.Err() == nil {
			t.Errorf("call %d: %v", i, err)
		}
		return 0
	}
	switch a.Status {
	case http.StatusOK, http.StatusAccepted, http.StatusBadGateway, http.StatusGatewayTimeout, http.StatusTooManyRequests,
		http.StatusRequestEntityTooLarge, http.StatusConflict:
	case http.StatusServiceUnavailable:
		if a.Header.Get("Davit-Reason") == "" { // because nothing is unavailable
			t.Errorf("call %d: it failed for no reason: %.300s", i, a.Body)
		}
	default:
		t.Errorf("call %d: status %d %.300s", i, a.Status, a.Body)
	}
	if id := a.Header.Get("Davit-Invocation"); i%5 == 0 && a.Status == http.StatusAccepted {
		if c, err := g.Admin(ctx, http.MethodPost, "/v1/invocations/"+id+"/cancel", "", nil); err != nil || c.Status != http.StatusAccepted && c.Status != http.StatusConflict {
			t.Errorf("cancel %s: %v %v", id, c, err)
		}
	}
	return a.Status
}
