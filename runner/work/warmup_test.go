package work

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"davit/internal/faas"
	"davit/internal/task"
)

// TestWarmUp checks that warming up publishes no event, leaves the worker free for its one task, and leaves no files in
// the workspace.
func TestWarmUp(t *testing.T) {
	w := newWorker(t, func(l *task.Launch, _ *Options) { l.Start = faas.StartStandby })
	seq := w.Seq()
	trace := filepath.Join(t.TempDir(), "ran")
	must(t, w.WarmUp("sh", "-c", "touch left.txt; echo $HOME >"+trace))
	if home, err := os.ReadFile(trace); err != nil || len(home) < 2 {
		t.Fatalf("it ran nothing: %q, %v", home, err)
	}
	if w.Free() != 1 || len(w.Owned()) != 0 || len(w.all()) != 0 || w.Seq() != seq {
		t.Fatalf("free %d, held %v, %d events", w.Free(), w.Owned(), w.Seq()-seq)
	}
	must(t, w.WarmUp("sh", "-c", "touch left.txt; exit 3"))
	must(t, w.WarmUp("no-such-command"))
	call := start(t, w, newTask(t, `ls "$PWD" "$HOME" "$TMPDIR"`, func(tk *task.Task) { tk.Response = faas.ResponseFile }), "")
	if err := w.WarmUp("true"); !errors.Is(err, ErrBusy) {
		t.Errorf("during a call: %v", err)
	}
	if d := finish(t, call); d.Reason != "" || !strings.Contains(string(d.body), "run.sh") || strings.Contains(string(d.body), "left.txt") {
		t.Errorf("%+v: %s", d.Outcome, d.body)
	}
	<-w.Done()
}
