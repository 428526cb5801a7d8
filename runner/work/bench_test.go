package work

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"davit/internal/faas"
	"davit/internal/task"
)

// BenchmarkCall is a warm call of true with an empty result against a bare fork+exec of it. The medians are of one
// after the other in the same loop, until the end (of the answer). This process's CPU time is measured over many of one
// kind in a row; that of the calls holds everything until their slot is free again, the bare one's is the fork.
func BenchmarkCall(b *testing.B) {
	for _, test := range []struct{ name, body string }{{"no body", ""}, {"1 KB", string(make([]byte, 1000))}, {"1 MB", string(make([]byte, 1_000_000))}} {
		b.Run(test.name, func(b *testing.B) {
			w := newWorker(b, nil)
			null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
			must(b, err)
			defer func() { _ = null.Close() }()
			calls := newCaller(b, w, test.body)
			fork := func() { bare(b, null.Fd()) }
			var forks, answers []time.Duration
			for b.Loop() {
				forks = append(forks, duration(fork))
				answers = append(answers, duration(calls.call))
			}
			b.ReportMetric(median(forks), "floor-ns")
			b.ReportMetric(median(answers), "call-ns")
			b.ReportMetric(cpuTime(b.N, fork), "floor-cpu-ns")
			b.ReportMetric(cpuTime(b.N, calls.call), "call-cpu-ns")
		})
	}
}

func duration(f func()) time.Duration {
	begun := time.Now()
	f()
	return time.Since(begun)
}

func median(times []time.Duration) float64 {
	slices.Sort(times)
	return float64(times[len(times)/2])
}

// cpuTime returns this process's CPU time for each of n.
func cpuTime(n int, f func()) float64 {
	var before, after syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &before)
	for range n {
		f()
	}
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &after)
	spent := after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano()
	return float64(spent) / float64(n)
}

func bare(b *testing.B, null uintptr) {
	pid, err := syscall.ForkExec("/usr/bin/true", []string{"true"}, &syscall.ProcAttr{Files: []uintptr{null, null, null}})
	must(b, err)
	_, err = syscall.Wait4(pid, nil, 0, nil)
	must(b, err)
}

// caller makes one call after another, each with an id of its own.
type caller struct {
	b      *testing.B
	w      *Worker
	wire   []byte
	id     []byte // in wire
	number int
}

func newCaller(b *testing.B, w *Worker, body string) *caller {
	tk := newTask(b, "", func(tk *task.Task) { tk.Command, tk.Keep = []string{"true"}, faas.KeepNone })
	wire, err := task.EncodeTask(tk)
	must(b, err)
	at := bytes.Index(wire, []byte(tk.Record.ID))
	wire = append(wire, body...)
	return &caller{b: b, w: w, wire: wire, id: wire[at : at+len(tk.Record.ID)]}
}

// call makes a call, reads its answer and acknowledges it.
func (c *caller) call() {
	c.number++
	copy(c.id[len(c.id)-9:], fmt.Sprintf("%09d", c.number))
	call, err := c.w.Take(faas.InvocationID(c.id))
	must(c.b, err)
	must(c.b, call.Accept(c.b.Context(), bytes.NewReader(c.wire)))
	a, err := call.Answer(c.b.Context())
	must(c.b, err)
	if a.Outcome.Reason != "" {
		c.b.Fatalf("%+v", a.Outcome)
	}
	_, err = io.Copy(io.Discard, a.Body)
	must(c.b, err)
	must(c.b, a.Body.Close())
	call.Ack()
}
