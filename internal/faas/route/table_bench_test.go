package route

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"davit/internal/faas"
)

// benchTable returns a table of n triggers as installations have them: most below a common prefix, some with names and
// wildcards; probe i is a path of trigger i.
func benchTable(tb testing.TB, n int) (t *Table, probes []string) {
	tb.Helper()
	triggers := make([]*faas.Trigger, n)
	probes = make([]string, n)
	for i := range n {
		path := fmt.Sprintf("/team-%d/task-%d", i%7, i)
		probes[i] = path
		switch i % 10 {
		case 3:
			path, probes[i] = path+"/:id", path+"/4711"
		case 7:
			path, probes[i] = path+"/*", path+"/a/b.png"
		}
		triggers[i] = &faas.Trigger{
			Name:        faas.TriggerName(fmt.Sprintf("task-%d", i)),
			TriggerSpec: faas.TriggerSpec{Function: "f", Methods: []string{"POST"}, Path: path},
		}
	}
	t, err := NewTable(triggers)
	if err != nil {
		tb.Fatal(err)
	}
	return t, probes
}

func benchMatch(b *testing.B, t *Table, probes []string) {
	b.Helper()
	i := 0
	for b.Loop() {
		if _, err := t.Match("POST", probes[i]); err != nil {
			b.Fatal(err)
		}
		if i++; i == len(probes) {
			i = 0
		}
	}
}

func BenchmarkMatch(b *testing.B) {
	for _, n := range []int{10, 100_000} {
		t, probes := benchTable(b, n)
		b.Run(fmt.Sprintf("same_ten_of_%d", n), func(b *testing.B) { b.ReportAllocs(); benchMatch(b, t, probes[:10]) })
		rand.New(rand.NewPCG(1, 2)).Shuffle(n, func(i, j int) { probes[i], probes[j] = probes[j], probes[i] })
		b.Run(fmt.Sprintf("any_of_%d", n), func(b *testing.B) { benchMatch(b, t, probes) })
	}
}

// BenchmarkMatchRatio interleaves lookups among 10 and among 100,000 triggers, and reports how many times longer the
// latter take, by the fastest rounds of each, which other work on the machine disturbed least.
func BenchmarkMatchRatio(b *testing.B) {
	few, probes := benchTable(b, 10)
	many, _ := benchTable(b, 100_000)
	fastest := [2]time.Duration{time.Hour, time.Hour}
	for b.Loop() {
		for i, t := range []*Table{few, many} {
			start := time.Now()
			for range 20 {
				for _, p := range probes {
					if _, err := t.Match("POST", p); err != nil {
						b.Fatal(err)
					}
				}
			}
			fastest[i] = min(fastest[i], time.Since(start))
		}
	}
	b.ReportMetric(float64(fastest[0])/200, "ns/lookup_of_10")
	b.ReportMetric(float64(fastest[1])/200, "ns/lookup_of_100000")
	b.ReportMetric(float64(fastest[1])/float64(fastest[0]), "ratio")
}

func BenchmarkWith(b *testing.B) {
	for _, n := range []int{10, 100_000} {
		t, _ := benchTable(b, n)
		added := &faas.Trigger{Name: "new", TriggerSpec: faas.TriggerSpec{Function: "f", Methods: []string{"POST"}, Path: "/team-1/new"}}
		b.Run(fmt.Sprintf("one_more_than_%d", n), func(b *testing.B) {
			for b.Loop() {
				if _, err := t.With([]*faas.Trigger{added}, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkNewTable(b *testing.B) {
	for b.Loop() {
		benchTable(b, 100_000)
	}
}
