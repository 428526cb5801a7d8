package e2e

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"davit/e2e/rig"
	"davit/internal/testenv"
)

// bin is the folder of the programs under test.
var bin string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("/var/tmp", "davit-e2e-")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err == nil {
		err = build(dir)
	}
	if err != nil {
		println("e2e: " + err.Error())
		os.Exit(1)
	}
	bin = dir
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

func build(dir string) error {
	for program, pkg := range map[string]string{"davit-gateway": "../cmd/davit-gateway", "davit-runner": "../cmd/davit-runner"} {
		args := append(append([]string{"build"}, buildFlags()...), "-o", filepath.Join(dir, program), pkg)
		if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
			return errors.New("go " + strings.Join(args, " ") + ": " + string(out))
		}
	}
	return nil
}

// world is one installation: the settings that its gateways share, and their log.
type world struct {
	t   *testing.T
	dir string
	env []string
	log *logFile
}

type logFile struct{ *os.File }

func newWorld(t *testing.T, env ...string) *world {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} { // because runners run as another user
		if err := os.Chmod(d, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Create(filepath.Join(dir, "gateway.log"))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, dir: dir, env: env, log: &logFile{f}}
	t.Cleanup(func() {
		_ = f.Close()
		if t.Failed() {
			b, _ := os.ReadFile(f.Name())
			t.Logf("the gateways' log:\n%s", b[max(0, len(b)-8000):])
		}
	})
	return w
}

// start starts a gateway on free ports; data names its data folder.
func (w *world) start(data string, env ...string) *rig.Gateway {
	w.t.Helper()
	all := append([]string{
		"DAVIT_DATA_DIR=" + filepath.Join(w.dir, data), "DAVIT_CONSOLE_ADDR=127.0.0.1:0", "DAVIT_CALLS_ADDR=127.0.0.1:0",
		"DAVIT_RUNNER_ADDR=127.0.0.1:0", "DAVIT_DOWNLOAD_ADDR=127.0.0.1:0", "DAVIT_LOG_LEVEL=debug",
	}, w.env...)
	g, err := rig.Start(w.t.Context(), rig.Options{Bin: bin, Bare: true, Env: append(all, env...), Log: w.log.File})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		select {
		case <-g.Exited():
		default:
			if err := g.Stop(); err != nil {
				w.t.Errorf("stop the gateway: %v", err)
			}
		}
	})
	return g
}

// function registers a function from files.
func function(t *testing.T, g *rig.Gateway, name, spec string, files map[string]string) {
	t.Helper()
	if a := register(t, g, name, spec, files); a.Status/100 != 2 {
		t.Fatalf("register %s: status %d: %s", name, a.Status, a.Body)
	}
}

// register registers a function and returns the answer, also of a failure.
func register(t *testing.T, g *rig.Gateway, name, spec string, files map[string]string) *rig.Answer {
	t.Helper()
	source, err := rig.PackFiles(files)
	if err != nil {
		t.Fatal(err)
	}
	a, err := g.RegisterSource(t.Context(), name, spec, source)
	if a == nil {
		t.Fatalf("register %s: %v", name, err)
	}
	return a
}

func trigger(t *testing.T, g *rig.Gateway, name, spec string) {
	t.Helper()
	if _, err := g.RegisterTrigger(t.Context(), name, spec); err != nil {
		t.Fatalf("register trigger %s: %v", name, err)
	}
}

// post posts a form to a trigger.
func post(t *testing.T, g *rig.Gateway, path string, header http.Header, parts ...rig.Part) *rig.Answer {
	t.Helper()
	body, contentType, err := rig.Form(parts...)
	if err != nil {
		t.Fatal(err)
	}
	h := header.Clone()
	if h == nil {
		h = http.Header{}
	}
	h.Set("Content-Type", contentType)
	a, err := g.Call(t.Context(), http.MethodPost, path, body, h)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func get(t *testing.T, g *rig.Gateway, path string, header http.Header) *rig.Answer {
	t.Helper()
	a, err := g.Call(t.Context(), http.MethodGet, path, nil, header)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func admin(t *testing.T, g *rig.Gateway, method, path string, body string) *rig.Answer {
	t.Helper()
	contentType := ""
	if body != "" {
		contentType = "application/json"
	}
	a, err := g.Admin(t.Context(), method, path, contentType, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// status fails the test unless the answer has that status.
func status(t *testing.T, a *rig.Answer, want int) {
	t.Helper()
	if a.Status != want {
		t.Fatalf("status %d, want %d: %s", a.Status, want, a.Body)
	}
}

// unzip returns the files of a zip.
func unzip(t *testing.T, b []byte) map[string]string {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatalf("read the zip: %v", err)
	}
	files := map[string]string{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[f.Name] = string(text)
	}
	return files
}

// record is the part of an invocation's record that tests read.
type record struct {
	ID       string  `json:"id"`
	Revision int     `json:"revision"`
	State    string  `json:"state"`
	Reason   *string `json:"reason"`
	ExitCode *int    `json:"exit_code"`
	Start    string  `json:"start"`
	Mode     string  `json:"mode"`
	Attempt  int     `json:"attempt"`
	Input    *struct {
		Size   int64 `json:"size"`
		Stored bool  `json:"stored"`
	} `json:"input"`
	Result *struct {
		Size   int64  `json:"size"`
		SHA256 string `json:"sha256"`
		Stored bool   `json:"stored"`
	} `json:"result"`
	Links map[string]string `json:"links"`
}

func decode[T any](t *testing.T, b []byte) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatalf("decode %.300q: %v", b, err)
	}
	return v
}

// reason returns the record's reason, or "".
func (r record) reason() string {
	if r.Reason == nil {
		return ""
	}
	return *r.Reason
}

// await waits until the invocation is final.
func await(t *testing.T, g *rig.Gateway, id string) record {
	t.Helper()
	var r record
	testenv.EventuallyWithin(t, 2*time.Minute, "invocation "+id+" is final", func() bool {
		a := admin(t, g, http.MethodGet, "/v1/invocations/"+id+"?wait=10s", "")
		status(t, a, http.StatusOK)
		r = decode[record](t, a.Body)
		return r.State == "succeeded" || r.State == "failed" || r.State == "cancelled"
	})
	return r
}

// processes returns the ids of the processes whose command line contains all of the words.
func processes(words ...string) []int {
	var found []int
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		line, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		text := strings.ReplaceAll(string(line), "\x00", " ")
		all := text != ""
		for _, word := range words {
			all = all && strings.Contains(text, word)
		}
		if all {
			found = append(found, pid)
		}
	}
	return found
}

// runners returns the ids of the runner processes of the world's gateways, also of those whose gateway has ended.
func (w *world) runners() []int {
	return processes(w.dir+"/", "/davit-runner-", "--launch=-")
}

// statusKiB reads a number from a process's status; 0 if there is no such process.
func statusKiB(pid int, field string) int64 {
	b, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	for line := range strings.Lines(string(b)) {
		if text, found := strings.CutPrefix(line, field); found {
			n, _ := strconv.ParseInt(strings.Fields(text)[0], 10, 64)
			return n
		}
	}
	return 0
}

func touch(t *testing.T, name string) {
	t.Helper()
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(name) })
}
