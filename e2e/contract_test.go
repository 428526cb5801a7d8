package e2e

import (
	"net/http"
	"strings"
	"testing"

	"davit/e2e/rig"
	"davit/internal/testenv"
)

// failsWith fails the test unless the answer is a 502 with that reason and a problem that contains the words.
func failsWith(t *testing.T, a *rig.Answer, reason, words string) {
	t.Helper()
	if a.Status != http.StatusBadGateway || a.Header.Get("Davit-Reason") != reason || !strings.Contains(string(a.Body), words) {
		t.Errorf("status %d, reason %q, want 502 %s with %q: %.600s", a.Status, a.Header.Get("Davit-Reason"), reason, words, a.Body)
	}
}

// TestResultMissing names the pattern that matched nothing.
func TestResultMissing(t *testing.T) {
	g := newWorld(t).start("data")
	function(t, g, "f", "{}", tool("echo x > there.txt"))
	trigger(t, g, "t", `{"function": "f", "methods": ["GET"], "path": "/t", "command": ["sh", "tool.sh"], "results": ["there.txt", "deep/**/*.png"]}`)
	a := get(t, g, "/t", nil)
	failsWith(t, a, "result_missing", "deep/**/*.png")
	if r := await(t, g, a.Header.Get("Davit-Invocation")); r.State != "failed" || r.reason() != "result_missing" || r.ExitCode == nil || *r.ExitCode != 0 {
		t.Errorf("record: %+v", r)
	}
}

// TestResponse: "file" gives the one matching file raw, "auto" does if there is exactly one, and the caller can ask for
// a zip.
func TestResponse(t *testing.T) {
	g := newWorld(t).start("data")
	function(t, g, "f", "{}", tool(`for n in $(seq "$1"); do echo "file $n" > "out $n.txt"; done`))
	for _, response := range []string{"zip", "file", "auto"} {
		trigger(t, g, response, `{"function": "f", "methods": ["GET"], "path": "/`+response+`", "command": ["sh", "tool.sh", "{field:n}"], "results": ["*.txt"], "response": "`+response+`"}`)
	}
	raw := func(path string, header http.Header) {
		t.Helper()
		a := get(t, g, path, header)
		if a.Status != http.StatusOK || string(a.Body) != "file 1\n" || !strings.Contains(a.Header.Get("Content-Disposition"), "out 1.txt") {
			t.Errorf("%s: %d %v %.300q", path, a.Status, a.Header, a.Body)
		}
	}
	zipped := func(path string, header http.Header, files int) {
		t.Helper()
		a := get(t, g, path, header)
		status(t, a, http.StatusOK)
		if n := len(unzip(t, a.Body)); n != files || a.Header.Get("Content-Type") != "application/zip" {
			t.Errorf("%s: %d files in %q, want %d", path, n, a.Header.Get("Content-Type"), files)
		}
	}
	raw("/file?n=1", nil)
	raw("/auto?n=1", nil)
	zipped("/auto?n=2", nil, 2)
	zipped("/zip?n=1", nil, 1)
	zipped("/file?n=1&davit-format=zip", nil, 1)
	zipped("/auto?n=1", http.Header{"Accept": {"application/zip"}}, 1)
	failsWith(t, get(t, g, "/file?n=2", nil), "result_missing", "")
	a := get(t, g, "/file?n=1", nil)
	id := a.Header.Get("Davit-Invocation")
	await(t, g, id)
	one := get(t, g, "/-/invocations/"+id+"/result/out%201.txt", nil)
	if one.Status != http.StatusOK || string(one.Body) != "file 1\n" {
		t.Errorf("one file of the stored zip: %d %.300q", one.Status, one.Body)
	}
}

// TestMethods: HEAD goes with GET, OPTIONS is answered, and the answer to another method has the allowed ones.
func TestMethods(t *testing.T) {
	g := newWorld(t).start("data")
	function(t, g, "f", "{}", tool(`echo out`))
	trigger(t, g, "t", `{"function": "f", "methods": ["GET", "POST"], "path": "/t", "command": ["sh", "tool.sh"]}`)
	call := func(method string) *rig.Answer {
		a, err := g.Call(t.Context(), method, "/t", nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	head := call(http.MethodHead)
	if head.Status != http.StatusOK || len(head.Body) > 0 || head.Header.Get("Davit-Invocation") == "" {
		t.Errorf("HEAD: %d %v", head.Status, head.Header)
	}
	for _, method := range []string{http.MethodOptions, http.MethodPut, http.MethodDelete} {
		a := call(method)
		allow := a.Header.Get("Allow")
		if method == http.MethodOptions && a.Status/100 != 2 || method != http.MethodOptions && a.Status != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d", method, a.Status)
		}
		for _, allowed := range []string{"GET", "HEAD", "POST", "OPTIONS"} {
			if !strings.Contains(allow, allowed) {
				t.Errorf("%s: Allow is %q, without %s", method, allow, allowed)
			}
		}
	}
	testenv.EventuallyWithin(t, wait, "only HEAD ran", func() bool { return len(list(t, g, "f")) == 1 })
}

// TestDavitMode: a caller may ask for a stricter mode, never for a looser one.
func TestDavitMode(t *testing.T) {
	g := newWorld(t).start("data")
	for mode, spec := range modes {
		function(t, g, mode, spec, tool("true"))
		trigger(t, g, mode, `{"function": "`+mode+`", "methods": ["GET"], "path": "/`+mode+`", "command": ["sh", "tool.sh"]}`)
	}
	function(t, g, "both", `{"mode": "warm", "warm": {"min": 0, "max": 1}, "standby": 1}`, tool("true"))
	for name, mode := range map[string]string{"both": "warm", "strict": "standby"} {
		trigger(t, g, name, `{"function": "both", "mode": "`+mode+`", "methods": ["GET"], "path": "/`+name+`", "command": ["sh", "tool.sh"]}`)
	}
	for _, c := range []struct {
		function, asked, start string // no start: refused
	}{
		{"warm", "warm", "warm"},
		{"warm", "job", "job"},
		{"standby", "standby", "standby"},
		{"standby", "job", "job"},
		{"standby", "warm", ""},
		{"job", "job", "job"},
		{"job", "warm", ""},
		{"job", "standby", ""},
		{"job", "none", ""},
		{"both", "", "warm"},
		{"both", "standby", "standby"},
		{"both", "Job", "job"},
		{"strict", "", "standby"},
		{"strict", "job", "job"},
		{"strict", "warm", ""},
	} {
		if c.start == "standby" {
			awaitStandby(t, g, map[string]string{"both": "both", "strict": "both"}[c.function])
		}
		a := get(t, g, "/"+c.function, http.Header{"Davit-Mode": {c.asked}})
		if c.start == "" {
			if a.Status != http.StatusBadRequest || !strings.Contains(string(a.Body), "Davit-Mode is") {
				t.Errorf("%s asked for %s: %d %.300q", c.function, c.asked, a.Status, a.Body)
			}
			continue
		}
		if a.Status != http.StatusOK || a.Header.Get("Davit-Start") != c.start {
			t.Errorf("%s asked for %s: %d, start %q, want %q", c.function, c.asked, a.Status, a.Header.Get("Davit-Start"), c.start)
		}
	}
}

// awaitStandby waits until a standby runner of a function is parked.
func awaitStandby(t *testing.T, g *rig.Gateway, function string) {
	t.Helper()
	if function == "" {
		function = "standby"
	}
	testenv.EventuallyWithin(t, wait, "a standby runner is parked", func() bool {
		a := admin(t, g, http.MethodGet, "/v1/functions/"+function, "")
		return decode[struct {
			Slots map[string]struct {
				Free int `json:"free"`
			} `json:"slots"`
		}](t, a.Body).Slots["standby"].Free > 0
	})
}

// TestStartProcess: a call waits until the start process is ready, and fails with its message if it fails. For a warm
// function the registration waits and fails instead.
func TestStartProcess(t *testing.T) {
	for _, c := range []struct {
		name, ready, script string // no output: start_failed
		output              string
	}{
		{"file", `{"file": "ready"}`, `echo shared > "$DAVIT_SHARED/data"; sleep 1; touch "$DAVIT_SHARED/ready"; sleep 600`, "shared\n"},
		{"exit 0", `null`, `sleep 1; echo shared > "$DAVIT_SHARED/data"`, "shared\n"},
		{"exit 0 with a file", `{"file": "ready"}`, `sleep 1; echo shared > "$DAVIT_SHARED/data"; touch "$DAVIT_SHARED/ready"`, "shared\n"},
		{"failing", `{"file": "ready"}`, `echo the set-up broke >&2; exit 7`, ""},
		{"never ready", `{"file": "ready"}`, `echo the set-up hangs >&2; sleep 600`, ""},
	} {
		for mode, spec := range map[string]string{"job": `"mode": "job"`, "warm": `"mode": "warm"`} {
			t.Run(c.name+"/"+mode, func(t *testing.T) {
				t.Parallel()
				g := newWorld(t).start("data")
				a := register(t, g, "f", `{`+spec+`, "timeout": "8s", "start": {"command": ["sh", "start.sh"], "ready": `+c.ready+`}}`, map[string]string{
					"start.sh": c.script, "tool.sh": `while [ ! -e "$DAVIT_SHARED/data" ]; do sleep 0.1; done; cat "$DAVIT_SHARED/data"`,
				})
				if c.output == "" && mode == "warm" {
					notBuilt(t, a, "its start process failed", "the set-up")
					return
				}
				status(t, a, http.StatusCreated)
				trigger(t, g, "t", `{"function": "f", "methods": ["GET"], "path": "/t", "command": ["sh", "tool.sh"]}`)
				a = get(t, g, "/t", nil)
				if c.output == "" {
					failsWith(t, a, "start_failed", "the set-up")
					return
				}
				status(t, a, http.StatusOK)
				if got := unzip(t, a.Body)["stdout"]; got != c.output {
					t.Errorf("the call read %q, want %q", got, c.output)
				}
			})
		}
	}
}

// TestStartProcessPort: a call waits until the port of the start process answers.
func TestStartProcessPort(t *testing.T) {
	g := newWorld(t).start("data")
	_, port, _ := strings.Cut(freePort(t), ":")
	function(t, g, "f", `{"mode": "warm", "timeout": "20s", "start": {"command": ["python3", "server.py"], "ready": {"port": `+port+`}}}`, map[string]string{
		"server.py": "import http.server, time\ntime.sleep(1)\n" +
			"http.server.ThreadingHTTPServer(('127.0.0.1', " + port + "), http.server.SimpleHTTPRequestHandler).serve_forever()\n",
		"tool.sh": "#!/bin/bash\nexec 3<>/dev/tcp/127.0.0.1/" + port + " && echo connected\n",
	})
	trigger(t, g, "t", `{"function": "f", "methods": ["GET"], "path": "/t", "command": ["bash", "tool.sh"]}`)
	a := get(t, g, "/t", nil)
	status(t, a, http.StatusOK)
	if got := unzip(t, a.Body)["stdout"]; got != "connected\n" {
		t.Errorf("the call printed %q", got)
	}
}
