package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// line is a line of an audit log.
func line(stage, agent, resource, subresource, namespace, name string) string {
	return `{"stage":"` + stage + `","userAgent":"` + agent + `","objectRef":{"resource":"` + resource + `","subresource":"` + subresource +
		`","namespace":"` + namespace + `","name":"` + name + `"}}` + "\n"
}

func TestAuditCountsWhatBelongsToJobs(t *testing.T) {
	const done = "ResponseComplete"
	before := line(done, "davit-gateway", "jobs", "", "functions", "call-1")
	log := filepath.Join(t.TempDir(), "audit.log")
	if err := os.WriteFile(log, []byte(before), 0o600); err != nil {
		t.Fatal(err)
	}
	mark, err := audit(log).mark()
	if err != nil {
		t.Fatal(err)
	}
	text := before + strings.Join([]string{
		line(done, "davit-gateway", "jobs", "", "functions", "call-1"),
		line("ResponseStarted", "davit-gateway", "jobs", "", "functions", "call-1"),
		line(done, "controller", "pods", "", "functions", ""), // counted with its binding
		line(done, "scheduler", "pods", "binding", "functions", "call-1-abcde"),
		line(done, "kubelet", "pods", "status", "functions", "call-1-abcde"),
		line(done, "kubelet", "events", "", "functions", "call-1-abcde.18"),
		line(done, "controller", "events", "", "functions", "call-1.18"),
		line(done, "davit-gateway", "jobs", "", "functions", "call-12"), // another's
		line(done, "davit-gateway", "jobs", "", "elsewhere", "call-1"),
		line(done, "davit-gateway", "leases", "", "functions", "davit-sweep"),
	}, "")
	if err := os.WriteFile(log, []byte(text+`{"cut short`), 0o600); err != nil {
		t.Fatal(err)
	}
	entries, err := audit(log).since(mark)
	if err != nil {
		t.Fatal(err)
	}
	jobs := map[string]bool{"call-1": true}
	for by, want := range map[string]int{"": 6, "davit-gateway": 1, "kubelet": 2} {
		if got := writes(entries, "functions", jobs, by); got != want {
			t.Errorf("writes by %q: %d, want %d", by, got, want)
		}
	}
	if err := os.WriteFile(log, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := audit(log).since(mark); err == nil {
		t.Error("a rotated log is counted")
	}
}
