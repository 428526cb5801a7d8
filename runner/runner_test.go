package runner

import (
	"strings"
	"testing"

	"davit/internal/version"
)

func TestExitCode(t *testing.T) {
	for _, test := range []struct {
		arg, stdout, stderr string
		code                int
	}{
		{"-version", version.String(), "", 0},
		{"-no-such-flag", "", "davit-runner: the launch cannot be read", exitUsage},
	} {
		var stdout, stderr strings.Builder
		code := Main(t.Context(), []string{test.arg}, nil, strings.NewReader(""), &stdout, &stderr)
		if code != test.code || !strings.Contains(stdout.String(), test.stdout) || !strings.Contains(stderr.String(), test.stderr) {
			t.Errorf("%s: code %d, stdout %q, stderr %q", test.arg, code, stdout.String(), stderr.String())
		}
	}
}
