package redisstore

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"davit/gateway/embedded"
	"davit/internal/faas"
	"davit/internal/testenv"
)

func benchEach(b *testing.B, run func(b *testing.B, s *Store)) {
	b.Run("redis", func(b *testing.B) {
		run(b, server{url: "redis://" + testenv.Redis(b)}.store(b))
	})
	b.Run("embedded", func(b *testing.B) {
		e, err := embedded.Start(b.Context(), embedded.Options{Dir: filepath.Join(b.TempDir(), "redis"), Log: slog.New(slog.DiscardHandler)})
		must(b, err)
		b.Cleanup(func() { must(b, e.Close()) })
		run(b, server{url: e.URL()}.store(b))
	})
}

// BenchmarkSaveInvocations writes 1,000 new records at a time.
func BenchmarkSaveInvocations(b *testing.B) {
	benchEach(b, func(b *testing.B, s *Store) {
		const n = 1000
		var spent time.Duration
		for b.Loop() {
			batch := make([]*faas.Invocation, n)
			for i := range batch {
				batch[i] = newInvocation(b, "f", "tr", faas.Succeeded)
			}
			start := time.Now()
			saveInvocation(b, s, batch...)
			spent += time.Since(start)
		}
		b.ReportMetric(float64(n*b.N)/spent.Seconds(), "records/s")
	})
}

// BenchmarkSettle settles queued invocations, one after the other.
func BenchmarkSettle(b *testing.B) {
	benchEach(b, func(b *testing.B, s *Store) {
		var took []time.Duration
		for b.Loop() {
			inv := newInvocation(b, "f", "tr", faas.Running)
			must(b, s.Enqueue(b.Context(), inv, time.Now().Add(time.Minute)))
			done := ended(inv, faas.Succeeded)
			start := time.Now()
			_, _, err := s.Settle(b.Context(), done)
			took = append(took, time.Since(start))
			must(b, err)
		}
		slices.Sort(took)
		b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	})
}

// BenchmarkSaveTrigger saves a trigger among 10 and among 100,000.
func BenchmarkSaveTrigger(b *testing.B) {
	for _, present := range []int{10, 100_000} {
		b.Run(fmt.Sprint(present), func(b *testing.B) {
			benchEach(b, func(b *testing.B, s *Store) { saveAmong(b, s, present) })
		})
	}
}

func saveAmong(b *testing.B, s *Store, present int) {
	all := &faas.Snapshot{Functions: []*faas.Function{{Name: "f", Live: 1, Latest: 1}}}
	for i := range present {
		all.Triggers = append(all.Triggers, trigger(faas.TriggerName(fmt.Sprint("t", i)), "f", fmt.Sprint("/t/", i, "/:x")))
	}
	start := time.Now()
	must(b, s.Restore(b.Context(), all))
	restored := time.Since(start)
	var took []time.Duration
	for i := 0; b.Loop(); i++ {
		t := trigger("new", "f", fmt.Sprint("/new/", i))
		start := time.Now()
		_, _, err := saveTrigger(s, t, b)
		took = append(took, time.Since(start))
		must(b, err)
	}
	start = time.Now()
	mustGet[*faas.Snapshot](b)(s.Snapshot(b.Context()))
	b.ReportMetric(float64(time.Since(start).Milliseconds()), "snapshot-ms")
	b.ReportMetric(float64(restored.Milliseconds()), "restore-ms")
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
}

// BenchmarkListInvocations reads a page of 50 among 20,000 records.
func BenchmarkListInvocations(b *testing.B) {
	benchEach(b, func(b *testing.B, s *Store) {
		for range 20 {
			var batch []*faas.Invocation
			for i := range 1000 {
				batch = append(batch, newInvocation(b, faas.FunctionName(fmt.Sprint("f", i%10)), "tr", faas.Succeeded))
			}
			saveInvocation(b, s, batch...)
		}
		for b.Loop() {
			_, _, err := s.ListInvocations(b.Context(), faas.InvocationFilter{Function: "f3"})
			must(b, err)
		}
	})
}
