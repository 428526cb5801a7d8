package gateway

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"davit/internal/version"
)

// TestMainServesUntilItsContextEnds: a test, or another program, can start the gateway in its own process.
func TestMainServesUntilItsContextEnds(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} { // runners are another user
		if err := os.Chmod(d, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	env := []string{
		"DAVIT_DATA_DIR=" + filepath.Join(dir, "data"), "DAVIT_RUNNER_BINARY=/bin/true", "DAVIT_CONSOLE_ADDR=127.0.0.1:0",
		"DAVIT_CALLS_ADDR=127.0.0.1:0", "DAVIT_RUNNER_ADDR=127.0.0.1:0", "DAVIT_DOWNLOAD_ADDR=127.0.0.1:0",
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out, stdout := io.Pipe()
	var stderr bytes.Buffer
	code := make(chan int, 1)
	go func() {
		code <- Main(ctx, nil, env, stdout, &stderr)
		_ = stdout.Close()
	}()
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatalf("the gateway ended with %d before it served:\n%s", <-code, &stderr)
	}
	console, found := strings.CutPrefix(lines.Text(), "DAVIT_CONSOLE=")
	if !found {
		t.Fatalf("the first line is %q", lines.Text())
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	if got := health(t, console); got != http.StatusOK {
		t.Errorf("/healthz: %d", got)
	}
	stop()
	if got := <-code; got != 0 {
		t.Fatalf("exit code %d:\n%s", got, &stderr)
	}
	if got := health(t, console); got != 0 {
		t.Errorf("after the end, /healthz: %d", got)
	}
}

// health returns the status of a console's health check; 0 if nobody answers.
func health(t *testing.T, console string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+console+"/healthz", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0
	}
	_ = response.Body.Close()
	return response.StatusCode
}

func TestMainWithoutServing(t *testing.T) {
	for name, c := range map[string]struct {
		args, env []string
		code      int
		stdout    string
		stderr    string
	}{
		"version":         {args: []string{"--version"}, stdout: version.String()},
		"settings":        {args: []string{"--settings"}, stdout: "| `DAVIT_DATA_DIR` |"},
		"an unknown flag": {args: []string{"--no-such-flag"}, code: 1, stderr: "no-such-flag"},
		"a wrong setting": {env: []string{"DAVIT_MAX_RUNNERS=many"}, code: 1, stderr: "DAVIT_MAX_RUNNERS"},
	} {
		var stdout, stderr bytes.Buffer
		code := Main(t.Context(), c.args, c.env, &stdout, &stderr)
		if code != c.code || !strings.Contains(stdout.String(), c.stdout) || !strings.Contains(stderr.String(), c.stderr) {
			t.Errorf("%s: exit code %d, want %d\nstdout %s\nstderr %s", name, code, c.code, &stdout, &stderr)
		}
	}
}
