//go:build all

package work

import (
	"errors"
	"io"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"davit/internal/faas"
	"davit/internal/task"
	"davit/internal/testenv"
)

// TestAFullDisk mounts a small file system, which only root can.
func TestAFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("davit-test", dir, "tmpfs", 0, "size=2m"); err != nil {
		t.Fatalf("mount a small file system: %v; run this test as root", err)
	}
	t.Cleanup(func() { must(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	w := newWorker(t, func(l *task.Launch, _ *Options) { l.Dir = dir })
	large := strings.Repeat("x", 8<<20)
	form, formed := multipart([3]string{"f", "a", large})
	for contentType, body := range map[string]string{"": large, form: formed} {
		tk := newTask(t, "true", func(tk *task.Task) { tk.Put.Input, tk.Request.ContentType = "http://127.0.0.1:1/", contentType })
		c, err := w.Take(tk.Record.ID)
		must(t, err)
		if err := c.Accept(t.Context(), wire(t, tk, body)); !errors.Is(err, unix.ENOSPC) {
			t.Fatalf("%q: %v", contentType, err)
		}
	}
	if d := call(t, w, newTask(t, "head -c 8000000 /dev/zero", nil), ""); d.Reason != faas.ReasonResultTooLarge {
		t.Fatalf("%+v", d.Outcome)
	}
	results := func(tk *task.Task) { tk.Results = []string{"a"} }
	c := start(t, w, newTask(t, "head -c 1500000 /dev/urandom > a", results), "")
	a, err := c.Answer(t.Context())
	must(t, err)
	if a.Outcome.Reason == "" { // else it had failed before it was asked for
		if _, err := io.Copy(io.Discard, a.Body); !errors.Is(err, unix.ENOSPC) {
			t.Fatalf("a zip that does not fit: %v", err)
		}
		must(t, a.Body.Close())
	}
	testenv.Eventually(t, "the outcome to be complete", func() bool { return c.held().Ended })
	if d := finish(t, c); d.Reason != faas.ReasonResultTooLarge {
		t.Fatalf("%+v", d.Outcome)
	}
	if d := call(t, w, newTask(t, "head -c 500000 /dev/urandom > a", results), ""); d.Reason != "" {
		t.Fatalf("%+v", d.Outcome)
	}
}
