package web_test

import (
	"net/http"
	"os"
	"testing"

	"github.com/chromedp/chromedp"

	"davit/e2e/rig"
)

// TestReadmePicture runs the examples on the real programs and checks the page. `make picture` saves it as the README's
// picture.
func TestReadmePicture(t *testing.T) {
	var ports []string
	if os.Getenv("DAVIT_SCREENSHOTS") != "" { // the ports in the README
		ports = []string{"DAVIT_CONSOLE_ADDR=127.0.0.1:8080", "DAVIT_CALLS_ADDR=127.0.0.1:8081"}
	}
	g := newGateway(t, ports...)
	for name, triggers := range map[string][]string{
		"wordcount": {
			`{"function": "wordcount", "methods": ["POST"], "path": "/wordcount", "command": "sh count.sh", "argument_style": "counted", "results": ["counts.csv", "report.txt"]}`,
			`{"function": "wordcount", "methods": ["POST"], "path": "/count-in-a-minute", "command": ["sh", "-c", "sleep 60; sh count.sh 0 0"], "results": ["counts.csv"]}`,
		},
		"hello": {
			`{"function": "hello", "methods": ["GET", "POST"], "path": "/hello/:name", "command": ["sh", "hello.sh", "{field:name}", "{files}"], "results": ["greeting.txt"], "response": "auto"}`,
		},
	} {
		source, err := rig.PackDir(t.Context(), "../examples/"+name+"/source")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := g.RegisterSource(t.Context(), name, "{}", source); err != nil {
			t.Fatal(err)
		}
		for i, trigger := range triggers {
			if _, err := g.RegisterTrigger(t.Context(), []string{name, name + "-later"}[i], trigger); err != nil {
				t.Fatal(err)
			}
		}
	}
	sample, err := os.ReadFile("../examples/wordcount/sample.txt")
	if err != nil {
		t.Fatal(err)
	}
	file := rig.Part{Name: "text", Filename: "sample.txt", Data: sample}
	slow := ""
	for _, c := range []struct {
		path   string
		prefer string
		status int
		parts  []rig.Part
	}{
		{"/wordcount", "", http.StatusOK, []rig.Part{file}},
		{"/hello/world", "", http.StatusOK, nil},
		{"/wordcount", "", http.StatusBadGateway, nil},
		{"/hello/world", "", http.StatusOK, []rig.Part{file}},
		{"/count-in-a-minute", "respond-async", http.StatusAccepted, nil},
		{"/hello/davit", "", http.StatusOK, nil},
		{"/wordcount", "", http.StatusOK, []rig.Part{{Name: "title", Data: []byte("My first call")}, file}},
	} {
		body, contentType, err := rig.Form(c.parts...)
		if err != nil {
			t.Fatal(err)
		}
		a, err := g.Call(t.Context(), http.MethodPost, c.path, body, http.Header{"Content-Type": {contentType}, "Prefer": {c.prefer}})
		if err != nil || a.Status != c.status {
			t.Fatalf("%s: %+v, %v", c.path, a, err)
		}
		if a.Status == http.StatusAccepted {
			slow = a.Header.Get("Davit-Invocation")
		}
	}
	p := newTab(t, size(1200, 860))
	p.do(chromedp.Navigate(g.SignIn))
	p.await(`document.querySelector("#live").textContent == "live"`)
	p.await(`[...document.querySelectorAll("tbody tr")].some((r) => r.innerText.includes("running"))`)
	p.await(`[...document.querySelectorAll("tbody tr")].filter((r) => r.innerText.includes("succeeded")).length == 5`)
	p.says("exit code")
	p.show("page")
	if a, err := g.Admin(t.Context(), http.MethodPost, "/v1/invocations/"+slow+"/cancel", "", nil); err != nil || a.Status != http.StatusAccepted {
		t.Errorf("cancel: %+v, %v", a, err)
	}
}
