package hub_test

import (
	"context"
	"io"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"davit/gateway/hub"
	"davit/internal/testenv"
	"davit/runner/park/parktest"
)

// BenchmarkInvoke is the way of a call to a runner that answers at once, and back: what the hub and the protocol cost a
// warm call.
func BenchmarkInvoke(b *testing.B) {
	for _, callers := range []int{1, 8} {
		b.Run(strconv.Itoa(callers)+"callers", func(b *testing.B) { benchInvoke(b, callers) })
	}
}

func benchInvoke(b *testing.B, callers int) {
	g := newGateway(b, "g1")
	w := parktest.NewWorker(callers, parktest.NewLedger().Add)
	newRunner(b, hello("r1", "warm", callers), w, g.address)
	testenv.Eventually(b, "all slots are parked", func() bool { return g.Slots(ref)["warm"].Free == callers })
	took := make([][]time.Duration, callers)
	body := []byte("a small body")
	b.ReportAllocs()
	b.ResetTimer()
	spent := cpu(b)
	var group sync.WaitGroup
	for c := range callers {
		group.Go(func() {
			for range b.N / callers {
				id := newID(b)
				begun := time.Now()
				s, err := g.Claim(context.Background(), warm(id))
				if err != nil {
					b.Error(err)
					return
				}
				a, err := s.Invoke(context.Background(), newTask(id), hub.Body{Small: body}, nil)
				if err != nil {
					b.Error(err)
					return
				}
				if _, err := io.Copy(io.Discard, a.Body); err != nil {
					b.Error(err)
				}
				took[c] = append(took[c], time.Since(begun))
				if c, ok := w.Find(id); ok {
					c.Ack()
				}
			}
		})
	}
	group.Wait()
	b.StopTimer()
	b.ReportMetric(float64((cpu(b)-spent).Nanoseconds())/1000/float64(b.N), "cpu-µs/op")
	all := slices.Concat(took...)
	slices.Sort(all)
	if len(all) > 0 {
		b.ReportMetric(float64(all[len(all)/2].Nanoseconds())/1000, "p50-µs")
		b.ReportMetric(float64(all[len(all)*99/100].Nanoseconds())/1000, "p99-µs")
	}
}

// cpu returns the processor time that this process, gateway and runner, has used.
func cpu(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
