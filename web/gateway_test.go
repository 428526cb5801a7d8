package web_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"davit/e2e/rig"
	"davit/internal/testenv"
)

// buildPrograms builds the programs, with this version of the page.
func buildPrograms() error {
	for _, program := range []string{"davit-gateway", "davit-runner"} {
		if out, err := exec.Command("go", "build", "-o", filepath.Join(sharedDir, program), "../cmd/"+program).CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", program, err, out)
		}
	}
	return nil
}

// newGateway starts a gateway with the settings.
func newGateway(t *testing.T, settings ...string) *rig.Gateway {
	t.Helper()
	if err := programs(); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp(sharedDir, "gateway-") //nolint:usetesting // commands of another user must get into it
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	g, err := rig.Start(t.Context(), rig.Options{Bin: sharedDir, Bare: true, Log: log, Env: append([]string{
		"DAVIT_DATA_DIR=" + filepath.Join(dir, "data"), "DAVIT_CONSOLE_ADDR=127.0.0.1:0", "DAVIT_CALLS_ADDR=127.0.0.1:0",
		"DAVIT_RUNNER_ADDR=127.0.0.1:0", "DAVIT_DOWNLOAD_ADDR=127.0.0.1:0",
	}, settings...)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Stop(); err != nil {
			t.Errorf("stop the gateway: %v", err)
		}
		_ = log.Close()
		if t.Failed() {
			b, _ := os.ReadFile(log.Name())
			t.Logf("the gateway's log:\n%s", b[max(0, len(b)-4000):])
		}
	})
	return g
}

// TestWithTheGateway does what a new user does, on the real programs.
func TestWithTheGateway(t *testing.T) {
	g := newGateway(t)
	p := newTab(t, size(1200, 900))
	p.do(chromedp.Navigate(g.SignIn))
	p.says("Nothing is registered yet")
	p.await(`document.querySelector("#live").textContent == "live"`)
	p.click("button", "Register the example")
	p.says("http://" + g.Calls + "/hello/:name")
	p.says("Starts on first call")

	p.click("nav a", "Invocations")
	p.says("Nothing was called yet")
	body, contentType, err := rig.Form(rig.Part{Name: "file", Filename: "some file.txt", Data: []byte("12345")})
	if err != nil {
		t.Fatal(err)
	}
	a, err := g.Call(t.Context(), http.MethodPost, "/hello/world", body, http.Header{"Content-Type": {contentType}})
	if err != nil || a.Status != http.StatusOK || !strings.Contains(string(a.Body), "Hello, world!\nYou sent some file.txt: 5 bytes.") {
		t.Fatalf("called, and got %+v, %v: %s", a, err, a.Body)
	}
	p.await(`document.querySelector("tbody .badge")?.textContent == "succeeded"`) // without a reload
	p.click("tbody a", "hello")
	p.says("greeted world\n")
	p.says("End of the log")
	p.says("greeting.txt")
	for path, want := range map[string]string{"/result/greeting.txt": string(a.Body), "/log": "greeted world\n"} {
		if got := eval[string](p, `fetch(document.querySelector('a[download][href$="`+path+`"]').href).then((r) => r.text())`); got != want {
			t.Errorf("the link to %s gives %q, want %q", path, got, want)
		}
	}
	if kind := eval[string](p, `fetch(document.querySelector('a[download][href$="/result"]').href).then((r) => r.headers.get("Content-Type"))`); kind != "application/zip" {
		t.Errorf("the result is %s", kind)
	}
	if to := eval[string](p, `fetch(document.querySelector('a[href$="redirect=true"]').href, {redirect: "manual"}).then((r) => r.type)`); to != "opaqueredirect" {
		t.Errorf("the link to a signed URL answers with %s", to)
	}
	if id := a.Header.Get("Davit-Invocation"); !strings.HasSuffix(eval[string](p, "location.hash"), id) {
		t.Errorf("the page shows another invocation than %s", id)
	}
	p.show("gateway-invocation")
	registerAtTheGateway(p, g)
}

func registerAtTheGateway(p *tab, g *rig.Gateway) {
	p.t.Helper()
	p.do(chromedp.Navigate("http://" + g.Console + "/#/register/image"))
	p.says("Images need a cluster")
	p.fill("#image-name", "team")
	p.fill("#image-image", "team/app:1")
	p.click("button", "Register the image")
	p.await(`document.querySelector("#image-image-error").textContent.includes("image")`)
	p.await(`/Request [0-9a-f]+/.test(document.querySelector("#register-image .problem").innerText)`)

	p.click("nav a", "Files")
	p.fill("#files-name", "own")
	p.do(chromedp.SetUploadFiles(chromedp.CSS("#files-file"), []string{aFile(p.t, 2000)})) // not an archive
	p.click("button", "Upload and register")
	p.await(`document.querySelector("#register-files .problem")?.innerText.includes("cannot be read")`)
	source, err := rig.PackFiles(map[string]string{"count.sh": "#!/bin/sh\necho \"$@\"; sleep 60\n"})
	if err != nil {
		p.t.Fatal(err)
	}
	file := filepath.Join(p.t.TempDir(), "own.tgz")
	if err := os.WriteFile(file, source, 0o600); err != nil {
		p.t.Fatal(err)
	}
	p.do(chromedp.SetUploadFiles(chromedp.CSS("#files-file"), []string{file}))
	p.click("button", "Upload and register")
	p.says("Revision 1 of own is ready")
	p.click("a", "Add a trigger")
	p.fill("#trigger-url", "/own")
	p.fill("#trigger-command", "/bin/sh -c sh count.sh")
	p.click("button", "Register the trigger")
	p.says("http://" + g.Calls + "/own")
	cancelAtTheGateway(p, g)
}

// cancelAtTheGateway follows a long call, and cancels it.
func cancelAtTheGateway(p *tab, g *rig.Gateway) {
	p.t.Helper()
	a, err := g.Call(p.t.Context(), http.MethodPost, "/own", strings.NewReader("some=field"), http.Header{
		"Content-Type": {"application/x-www-form-urlencoded"}, "Prefer": {"respond-async"},
	})
	if err != nil || a.Status != http.StatusAccepted {
		p.t.Fatalf("called, and got %+v, %v: %s", a, err, a.Body)
	}
	p.do(chromedp.Navigate("http://" + g.Console + "/#/invocations/" + a.Header.Get("Davit-Invocation")))
	p.says("running")
	p.click("button", "Cancel")
	p.says("Somebody cancelled it")
	p.await(`document.querySelector("h1 + .row .badge").textContent == "cancelled"`)

	p.do(chromedp.Navigate("http://" + g.Console + "/#/functions/own"))
	p.click("button", "Delete the function")
	p.click("dialog button", "Delete it")
	p.await(`location.hash == "#/functions" && document.querySelectorAll(".card").length == 1`)
	p.click("button", "Sign out")
	p.says("You are signed out")
	p.fill("#token", g.Token)
	p.click("button", "Sign in")
	p.await(`document.querySelectorAll(".card").length == 1`)
}

// TestFormsAtTheGatewayWithoutScripts signs in and registers with forms only.
func TestFormsAtTheGatewayWithoutScripts(t *testing.T) {
	g := newGateway(t)
	p := newTab(t, withoutScripts())
	source, err := rig.PackFiles(map[string]string{"run.sh": "#!/bin/sh\necho plain\n"})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "plain.tgz")
	if err := os.WriteFile(file, source, 0o600); err != nil {
		t.Fatal(err)
	}
	page := "http://" + g.Console + "/"
	p.do(chromedp.Navigate(page), chromedp.SetValue(chromedp.CSS("#token"), g.Token), chromedp.Submit(chromedp.CSS("#token")),
		chromedp.WaitVisible(chromedp.CSS("noscript .note")),
		chromedp.SetValue(chromedp.CSS("#files-name"), "plain"), chromedp.SetUploadFiles(chromedp.CSS("#files-file"), []string{file}), chromedp.Submit(chromedp.CSS("#files-name")),
		chromedp.WaitVisible(chromedp.CSS("noscript .note")))
	p.awaitAt(g, "/v1/functions/plain", `"state":"ready"`)
	p.do(chromedp.SetValue(chromedp.CSS("#trigger-url"), "/plain"), chromedp.SetValue(chromedp.CSS("#trigger-image"), "plain"),
		chromedp.SetValue(chromedp.CSS("#trigger-command"), "sh run.sh"), chromedp.Submit(chromedp.CSS("#trigger-url")), chromedp.WaitVisible(chromedp.CSS("noscript .note")))
	p.awaitAt(g, "/v1/triggers", `"path":"/plain"`)
	p.do(chromedp.SetValue(chromedp.CSS("#image-name"), "team"), chromedp.SetValue(chromedp.CSS("#image-image"), "team/app:1"), chromedp.Submit(chromedp.CSS("#image-image")),
		chromedp.WaitVisible(chromedp.CSS(`p.wrong[role="alert"]`)))
}

// awaitAt waits until the API's answer contains a text.
func (p *tab) awaitAt(g *rig.Gateway, path, text string) {
	p.t.Helper()
	testenv.EventuallyWithin(p.t, patience, text+" at "+path, func() bool {
		a, err := g.Admin(p.t.Context(), http.MethodGet, path, "", nil)
		return err == nil && strings.Contains(string(a.Body), text)
	})
}
