package work

import (
	"testing"

	"davit/internal/faas"
	"davit/internal/task"
)

// TestCommonFolders checks that a call finds in a common folder only the files of the start process, also after calls
// whose command did not run.
func TestCommonFolders(t *testing.T) {
	for _, service := range []bool{false, true} {
		dir := t.TempDir()
		w := newWorker(t, func(l *task.Launch, _ *Options) {
			l.Common = []string{dir}
			if service {
				script := "echo s > " + dir + "/service; touch $DAVIT_SHARED/up; exec sleep 600"
				l.StartProcess = &faas.StartProcess{Command: faas.Command{"sh", "-c", script}, Ready: &faas.Ready{File: "up"}}
			}
		})
		want := "\n"
		if service {
			want = "meanwhile service\n"
		}
		must(t, w.Ready(t.Context()))
		given, err := w.Take("given-back")
		must(t, err)
		given.Abandon()
		if service {
			must(t, w.WarmUp("touch", dir+"/meanwhile")) // as the start process may
		}
		for range 2 {
			tk := newTask(t, "echo $(ls "+dir+") >&2; touch "+dir+"/mine; mkdir -p "+dir+"/d/e", nil)
			if got := call(t, w, tk, ""); got.log != want {
				t.Errorf("with a start process %v: a call finds %q, want %q", service, got.log, want)
			}
		}
	}
}
