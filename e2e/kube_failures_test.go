//go:build cluster

package e2e

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"davit/e2e/rig"
	"davit/internal/testenv"
)

// failure is the expected answer of a call that fails.
type failure struct {
	status       int
	reason, says string
	code         int // exit code; 0: none
}

// fails calls a trigger and checks the answer, which must come within a minute, and the record.
func (k *kube) fails(t *testing.T, path string, want failure) {
	t.Helper()
	k.failsWithin(t, path, time.Minute, want)
}

// failsWithin is fails with another limit for the answer.
func (k *kube) failsWithin(t *testing.T, path string, limit time.Duration, want failure) {
	t.Helper()
	var a *rig.Answer
	testenv.Returns(t, limit, "the call that fails", func() { a = get(t, k.Gateway, path, nil) })
	problem := decode[struct {
		Kind, Reason, Detail string
		ExitCode             *int   `json:"exit_code"`
		Invocation           string `json:"invocation_id"`
	}](t, a.Body)
	if a.Status != want.status || problem.Reason != want.reason || a.Header.Get("Davit-Reason") != want.reason || !strings.Contains(problem.Detail, want.says) {
		t.Errorf("status %d, want %d %s with %q: %.600s", a.Status, want.status, want.reason, want.says, a.Body)
	}
	if want.code != 0 && (problem.ExitCode == nil || *problem.ExitCode != want.code || a.Header.Get("Davit-Exit-Code") != strconv.Itoa(want.code)) {
		t.Errorf("no exit code %d: %.600s", want.code, a.Body)
	}
	if (a.Header.Get("Retry-After") != "") != (want.status == http.StatusServiceUnavailable) {
		t.Errorf("Retry-After is %q", a.Header.Get("Retry-After"))
	}
	if r := await(t, k.Gateway, problem.Invocation); r.State != "failed" || r.reason() != want.reason {
		t.Errorf("record: %+v, reason %q", r, r.reason())
	}
}

// TestKubeCommandFails: each failure of a command has its own reason.
func TestKubeCommandFails(t *testing.T) {
	t.Parallel()
	k := onKube(t)
	f := k.function(t, "fails", "", map[string]string{"tool.sh": `case $1 in
exit) echo "about to fail" >&2; exit 3;;
signal) kill -9 $$;;
memory) tail /dev/zero;;
time) sleep 30;;
result) echo no;;
esac
`})
	for name, c := range map[string]struct {
		failure
		spec string
	}{
		"exit":   {failure{http.StatusBadGateway, "exit_code", "3", 3}, ""},
		"signal": {failure{http.StatusBadGateway, "signal", "", 0}, ""},
		"memory": {failure{http.StatusBadGateway, "out_of_memory", "", 0}, ""},
		"time":   {failure{http.StatusGatewayTimeout, "timed_out", "", 0}, `, "timeout": "2s"`},
		"result": {failure{http.StatusBadGateway, "result_missing", "*.txt", 0}, `, "results": ["*.txt"]`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			trigger(t, k.Gateway, f+"-"+name, `{"function": "`+f+`", "path": "/`+f+`/`+name+`", "methods": ["GET"], "command": ["sh", "tool.sh", "`+name+`"]`+c.spec+`}`)
			k.fails(t, "/"+f+"/"+name, c.failure)
		})
	}
}

// TestKubeNoRoom: a call whose pod no node can ever run, because it requests a thousand processors, fails at once.
func TestKubeNoRoom(t *testing.T) {
	t.Parallel()
	k := onKube(t)
	f := k.function(t, "huge", `"resources": {"cpu": "1000", "memory": "64Mi", "disk": "64Mi"}`, tool("true"))
	k.fails(t, k.trigger(t, f, `"methods": ["GET"], "command": ["sh", "tool.sh"]`), failure{http.StatusServiceUnavailable, "unschedulable", "cpu", 0})
}

// TestKubeImageGone: a call fails with image_pull if its function's image was removed from the registry.
func TestKubeImageGone(t *testing.T) {
	t.Parallel()
	k := onKube(t)
	f := k.function(t, "gone", "", tool("true"))
	path := k.trigger(t, f, `"methods": ["GET"], "command": ["sh", "tool.sh"]`)
	k.registry(t).remove(t, k.image(t, f))
	k.fails(t, path, failure{http.StatusServiceUnavailable, "image_pull", "not found", 0})
}

// TestKubeBuildFails: a registration whose build fails is answered with the reason, which the build log has too, and no
// revision becomes live.
func TestKubeBuildFails(t *testing.T) {
	t.Parallel()
	k := onKube(t)
	base := k.settings["DAVIT_BASE_IMAGE"]
	r := k.registry(t)
	foreign := r.push(t, &testImage{name: "foreign", architecture: foreignArchitecture(), files: map[string][]byte{"file": []byte("x")}})
	for name, c := range map[string]struct {
		spec  string
		files map[string]string
		says  string // in the answer
		log   string // in the build's log
	}{
		"no-image":     {spec: `"image": "` + k.settings["DAVIT_REGISTRY"] + `/e2e/none:1"`, says: "none:1"},
		"architecture": {spec: `"image": "` + foreign + `"`, says: foreignArchitecture()},
		"dockerfile":   {files: map[string]string{"Dockerfile": "FROM " + base + "\nRUN echo tried; exit 7\n"}, says: "exit code 7", log: "tried"},
		"syntax":       {files: map[string]string{"Dockerfile": "FROM " + base + "\nRUNN true\n"}, says: "RUNN"},
		"setup":        {spec: `"setup": "echo preparing; exit 9"`, files: tool("true"), says: "exit code 9", log: "preparing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := unique("broken")
			var a *rig.Answer
			testenv.Returns(t, time.Minute, "the registration that fails", func() { a = k.put(t, f, braced(c.spec), c.files) })
			problem := decode[struct{ Kind, Detail string }](t, a.Body)
			if a.Status != http.StatusUnprocessableEntity || problem.Kind != "build_failed" || !strings.Contains(problem.Detail, c.says) {
				t.Errorf("status %d, want 422 with %q: %.800s", a.Status, c.says, a.Body)
			}
			log := admin(t, k.Gateway, http.MethodGet, "/v1/functions/"+f+"/revisions/1/log", "")
			if log.Status != http.StatusOK || !strings.Contains(string(log.Body), c.log) || !strings.Contains(string(log.Body), c.says) {
				t.Errorf("log: %d %s", log.Status, log.Body)
			}
			got := decode[struct {
				State string
				Live  int `json:"live_revision"`
			}](t, admin(t, k.Gateway, http.MethodGet, "/v1/functions/"+f, "").Body)
			if got.State != "failed" || got.Live != 0 {
				t.Errorf("the function is %+v", got)
			}
		})
	}
}
