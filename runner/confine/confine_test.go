package confine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"

	"davit/internal/task"
)

// childEnv makes this test program a confined shell.
const childEnv = "DAVIT_TEST_CONFINED"

func TestMain(m *testing.M) {
	if launch := os.Getenv(childEnv); launch != "" {
		os.Exit(confined(launch))
	}
	os.Exit(m.Run())
}

func confined(launch string) int {
	var l task.Launch
	if err := json.Unmarshal([]byte(launch), &l); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	level, err := Apply(&l)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	_, _ = fmt.Fprintln(os.Stdout, level)
	cmd := exec.Command("/bin/sh", "-c", os.Args[1])
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if cmd.Run() != nil {
		return 2
	}
	return 0
}

// script tries one line after another and tells which worked.
func script(lines map[string]string) string {
	var b strings.Builder
	for name, line := range lines {
		fmt.Fprintf(&b, "if (%s) >/dev/null 2>&1; then echo yes %s; else echo no %s; fi\n", line, name, name)
	}
	return b.String()
}

func TestConfined(t *testing.T) {
	version, err := ll.LandlockGetABIVersion()
	if err != nil || version < 5 {
		t.Fatalf("this kernel has Landlock %d (%v); run the test on Linux 6.10 or later with landlock in lsm=", version, err)
	}
	base, err := os.MkdirTemp("/tmp", "davit-confine-") //nolint:usetesting // another uid is to reach it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(base) })
	for _, dir := range []string{"data/secret", "data/sources/one", "data/runners/mine", "data/runners/other", "data/open", "beside"} {
		if err := os.MkdirAll(filepath.Join(base, dir), 0o777); err != nil {
			t.Fatal(err)
		}
		for path := filepath.Join(base, dir); path != "/tmp"; path = filepath.Dir(path) {
			if err := os.Chmod(path, 0o777); err != nil {
				t.Fatal(err)
			}
		}
		file := filepath.Join(base, dir, "file")
		if err := os.WriteFile(file, []byte("x"), 0o666); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(base, "data"), filepath.Join(base, "link")); err != nil {
		t.Fatal(err)
	}
	victim := exec.CommandContext(t.Context(), "sleep", "300")
	uids := []uint32{uint32(os.Getuid())}
	if uids[0] == 0 {
		uids = append(uids, 65532)
		victim.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65532, Gid: 65532}}
	}
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = victim.Process.Kill(); _ = victim.Wait() })
	launch := task.Launch{
		Landlock: true, Dir: filepath.Join(base, "data/runners/mine"), SourceDir: filepath.Join(base, "data/sources/one"),
		Hide: []string{filepath.Join(base, "link"), filepath.Join(base, "nowhere")},
	}
	allowed := map[string]string{
		"read-own":      "cat data/runners/mine/file",
		"write-own":     "echo x > data/runners/mine/new-$(id -u)",
		"rename-own":    "cd data/runners/mine && mkdir d-$(id -u) && touch r-$(id -u) && mv r-$(id -u) d-$(id -u)/new",
		"link-own":      "cd data/runners/mine && mkdir l-$(id -u) && touch own-$(id -u) && ln own-$(id -u) l-$(id -u)/linked",
		"truncate-own":  ": > data/runners/mine/file",
		"fifo-own":      "mkfifo data/runners/mine/fifo-$(id -u)",
		"read-source":   "cat data/sources/one/file",
		"exec-source":   "test -x data/sources/one/file",
		"read-beside":   "cat beside/file",
		"list-beside":   "ls beside",
		"run-programs":  "/bin/true",
		"null-device":   "echo x > /dev/null",
		"signal-itself": "sleep 100 & kill $!",
	}
	denied := map[string]string{
		"read-hidden":      "cat data/secret/file",
		"list-hidden":      "ls data/secret",
		"list-data":        "ls data",
		"read-by-link":     "cat link/secret/file",
		"read-other":       "cat data/runners/other/file",
		"write-other":      "echo x > data/runners/other/file",
		"write-source":     "echo x > data/sources/one/file",
		"write-beside":     "echo x > beside/file",
		"create-beside":    "touch beside/new",
		"remove-beside":    "rm -f beside/file && ! test -e beside/file",
		"write-tmp":        "touch /tmp/davit-confine-written",
		"write-shm":        "touch /dev/shm/davit-confine-written",
		"signal-outside":   fmt.Sprintf("kill -CONT %d", victim.Process.Pid),
		"move-out":         "mv data/runners/mine/file beside/moved",
		"hard-link-beside": "ln beside/file data/runners/mine/linked && cat data/runners/mine/linked && echo x > data/runners/mine/linked",
	}
	if version < oneDomain { // uid 65532 may send itself signals then
		delete(denied, "signal-outside")
	}
	for _, uid := range uids {
		for want, lines := range map[string]map[string]string{"yes": allowed, "no": denied} {
			out := run(t, uid, base, &launch, script(lines))
			if !strings.HasPrefix(out, "landlock v") {
				t.Fatalf("uid %d: %s", uid, out)
			}
			for name := range lines {
				if !strings.Contains(out, want+" "+name+"\n") {
					t.Errorf("uid %d: want %s %s in:\n%s", uid, want, name, out)
				}
			}
		}
	}
}

func run(t *testing.T, uid uint32, dir string, l *task.Launch, script string) string {
	t.Helper()
	b, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "beside", fmt.Sprintf("self-%d", uid))
	copyProgram(t, program)
	cmd := exec.CommandContext(t.Context(), program, script)
	cmd.Dir, cmd.Env = dir, []string{"PATH=/usr/bin:/bin", childEnv + "=" + string(b)}
	if int(uid) != os.Getuid() {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("uid %d: %v\n%s", uid, err, out.String())
	}
	return out.String()
}

// copyProgram puts this test program where every uid can run it.
func copyProgram(t *testing.T, to string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestNotAskedForIsNotApplied(t *testing.T) {
	level, err := Apply(&task.Launch{})
	if err != nil || !strings.HasPrefix(level, noLevel) {
		t.Fatalf("%q, %v", level, err)
	}
}
