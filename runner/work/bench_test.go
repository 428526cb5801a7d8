package work

import (
	"bytes"
	"io"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"davit/gateway/faas"
	"davit/internal/task"
)

// BenchmarkCall is a warm call of true with an empty result against a bare fork+exec
// of it, one after the other in the same loop. Of each it reports the median until the
// end (of the answer) and this process's CPU time, in which the bare one's is the
// fork; that of the call holds everything until its slot is free again.
func BenchmarkCall(b *testing.B) {
	for _, test := range []struct{ name, body string }{{"no body", ""}, {"1 KB", string(make([]byte, 1000))}, {"1 MB", string(make([]byte, 1_000_000))}} {
		b.Run(test.name, func(b *testing.B) {
			w := newWorker(b, nil)
			null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
			must(b, err)
			defer func() { _ = null.Close() }()
			tk := newTask(b, "", func(tk *task.Task) { tk.Command, tk.Keep = []string{"true"}, faas.KeepNone })
			wire, err := task.EncodeTask(tk)
			must(b, err)
			wire = append(wire, test.body...)
			id := []byte(tk.Record.ID)
			at := bytes.Index(wire, id)
			var floor, call cost
			for b.Loop() {
				floor.measure(func() { bare(b, null.Fd()) })
				for i := len(id) - 1; ; i-- { // the next id
					if id[i]++; id[i] == '9'+1 {
						id[i] = 'a'
					}
					if id[i] <= 'f' {
						break
					}
					id[i] = '0'
				}
				copy(wire[at:], id)
				var c *Call
				call.measure(func() { c = oneCall(b, w, faas.InvocationID(id), wire) })
				call.measure(func() {
					eventually(b, "the slot", func() bool { return w.Free() == 1 })
					c.Ack()
				})
				call.times = call.times[:len(call.times)-1]
			}
			b.ReportMetric(floor.median(), "floor-ns")
			b.ReportMetric(call.median(), "call-ns")
			b.ReportMetric(float64(floor.cpu)/float64(b.N), "floor-cpu-ns")
			b.ReportMetric(float64(call.cpu)/float64(b.N), "call-cpu-ns")
		})
	}
}

// cost adds up what something costs.
type cost struct {
	cpu   int64
	times []int64
}

func (c *cost) measure(f func()) {
	before, begun := cpuTime(), time.Now()
	f()
	c.times = append(c.times, time.Since(begun).Nanoseconds())
	c.cpu += cpuTime() - before
}

func (c *cost) median() float64 {
	slices.Sort(c.times)
	return float64(c.times[len(c.times)/2])
}

func cpuTime() int64 {
	var use syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &use)
	return use.Utime.Nano() + use.Stime.Nano()
}

func bare(b *testing.B, null uintptr) {
	pid, err := syscall.ForkExec("/usr/bin/true", []string{"true"}, &syscall.ProcAttr{Files: []uintptr{null, null, null}})
	must(b, err)
	_, err = syscall.Wait4(pid, nil, 0, nil)
	must(b, err)
}

func oneCall(b *testing.B, w *Worker, id faas.InvocationID, wire []byte) *Call {
	c, err := w.Take(id)
	must(b, err)
	must(b, c.Accept(b.Context(), bytes.NewReader(wire)))
	a, err := c.Answer(b.Context())
	must(b, err)
	if a.Outcome.Reason != "" {
		b.Fatalf("%+v", a.Outcome)
	}
	_, err = io.Copy(io.Discard, a.Body)
	must(b, err)
	must(b, a.Body.Close())
	return c
}
