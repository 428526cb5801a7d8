package main

import (
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// onPath puts a script on the PATH as go and make, which records its arguments.
func onPath(t *testing.T, script string) (asked func() []string) {
	t.Helper()
	dir := t.TempDir()
	log := filepath.Join(dir, "asked")
	text := "#!/bin/sh\necho \"${0##*/} $*\" >> " + log + "\ncase \"$*\" in\n" + script + `
*' up') echo "KUBECONFIG=/own"; echo KUBECTL=k;;
*deploy*) echo "DAVIT_CONSOLE=c"; echo "DAVIT_CALLS=d";;
esac
`
	for _, name := range []string{"go", "make"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return func() (lines []string) {
		b, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			words := strings.Fields(line)
			lines = append(lines, words[0]+" "+words[len(words)-1])
		}
		return lines
	}
}

// TestSuites: the test of the documents' steps runs on the cluster of this machine only.
func TestSuites(t *testing.T) {
	for _, foreign := range []bool{false, true} {
		at := settings{foreign: foreign}
		if args := at.suites()[1].args; strings.Contains(args, "-skip ^TestKubeDocs$") != foreign || !strings.Contains(args, "-run ^TestKube ") {
			t.Errorf("on a foreign cluster %v: go test %s", foreign, args)
		}
	}
}

// TestRun: the cluster is taken down, also when tests fail, unless it was up before.
func TestRun(t *testing.T) {
	t.Chdir("../..") // where make runs it
	tests := []string{"go ./e2e/images", "go ./e2e"}
	before, after := []string{"go build", "go up", "make REGISTRY="}, []string{"go down"}
	for name, c := range map[string]struct {
		script string
		own    string
		soak   time.Duration
		want   []string
		fails  bool
	}{
		"all well":        {want: slices.Concat(before, tests, after)},
		"tests fail":      {script: "*gateway/kube*) exit 1;;", want: slices.Concat(before, tests, after), fails: true},
		"no cluster":      {script: "*' up') exit 1;;", want: []string{"go build", "go up", "go down"}, fails: true},
		"no build":        {script: "*' build') exit 1;;", want: []string{"go build"}, fails: true},
		"no deploy":       {script: "*deploy*) exit 1;;", want: append(slices.Clone(before), "go down"), fails: true},
		"down fails":      {script: "*' down') exit 1;;", want: slices.Concat(before, tests, after), fails: true},
		"was up":          {script: "*' up') echo KUBECONFIG=/own; echo '" + isUp + "' >&2;;", want: slices.Concat(before, tests)},
		"one of the user": {own: "/users", want: append([]string{"make REGISTRY="}, tests...)},
		"only the soak":   {soak: time.Hour, want: append(append(slices.Clone(before), "go 1h0m0s"), after...)},
		"an interrupt":    {script: "*gateway/kube*) kill -INT $PPID; while :; do sleep 0.1; done;;", want: append(append(slices.Clone(before), tests[0]), after...), fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			asked := onPath(t, c.script)
			ctx, stop := signal.NotifyContext(t.Context(), os.Interrupt)
			defer stop()
			var out strings.Builder
			s := &stages{out: &out, env: os.Environ(), now: time.Now}
			err := run(ctx, s, settings{kubeconfig: c.own, soak: c.soak})
			if (err != nil) != c.fails {
				t.Errorf("run ended with %v:\n%s", err, out.String())
			}
			if got := asked(); !slices.Equal(got, c.want) {
				t.Errorf("run started %q, want %q", got, c.want)
			}
		})
	}
}
