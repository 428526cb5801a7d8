package web_test

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/chromedp/chromedp"

	"davit/internal/testenv"
)

// aFile returns the path of a file of that size.
func aFile(t *testing.T, size int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "source.tgz")
	if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// awaitForms waits until n forms have been posted.
func (f *fake) awaitForms(n int) (forms []map[string][]string) {
	f.t.Helper()
	testenv.EventuallyWithin(f.t, patience, "enough forms", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		forms = f.forms
		return len(forms) >= n
	})
	return forms
}

func TestFormsWorkWithoutScripts(t *testing.T) {
	t.Parallel()
	f := newFake(t).populated()
	p := newTab(t, withoutScripts(), size(1200, 800))
	send := func(kind string) {
		p.do(chromedp.Submit(chromedp.CSS("#"+kind+"-command")), chromedp.WaitVisible(chromedp.CSS("#files-name")))
	}
	p.do(chromedp.Navigate(f.url+"/"), chromedp.WaitVisible(chromedp.CSS("noscript .note")),
		chromedp.SetValue(chromedp.CSS("#files-name"), "hello"), chromedp.SetUploadFiles(chromedp.CSS("#files-file"), []string{aFile(t, 1000)}))
	send("files")
	f.awaitForms(1)
	p.do(chromedp.Navigate(f.url+"/"), chromedp.SetValue(chromedp.CSS("#image-name"), "team"), chromedp.SetValue(chromedp.CSS("#image-image"), "team/app:1"),
		chromedp.SetValue(chromedp.CSS("#image-command"), "serve"), chromedp.SetValue(chromedp.CSS("#image-arguments"), `["--port", "5000"]`))
	send("image")
	f.awaitForms(2)
	p.do(chromedp.Navigate(f.url+"/"), chromedp.SetValue(chromedp.CSS("#trigger-url"), "/x"), chromedp.SetValue(chromedp.CSS("#trigger-image"), "hello"),
		chromedp.SetValue(chromedp.CSS("#trigger-command"), "sh x.sh"), chromedp.SetValue(chromedp.CSS("#trigger-files"), "a.txt, *.csv"))
	send("trigger")
	want := []map[string][]string{
		{"kind": {"files"}, "name": {"hello"}, "file:size": {"1000"}, "command": {""}, "arguments": {""}},
		{"kind": {"image"}, "name": {"team"}, "image": {"team/app:1"}, "command": {"serve"}, "arguments": {`["--port", "5000"]`}},
		{"kind": {"trigger"}, "url": {"/x"}, "image": {"hello"}, "method": {"post"}, "command": {"sh x.sh"}, "files": {"a.txt, *.csv"}},
	}
	if got := f.awaitForms(3); !reflect.DeepEqual(got, want) {
		t.Fatalf("sent %q, want %q", got, want)
	}
}

func TestFilesAreRegisteredWithTheirBuildLog(t *testing.T) {
	t.Parallel()
	f := newFake(t).populated()
	p := newTab(t, size(1200, 900))
	p.do(chromedp.Navigate(f.url + "/#/register"))
	p.says("At most 100 MiB")
	p.fill("#files-name", "hello")
	p.do(chromedp.SetUploadFiles(chromedp.CSS("#files-file"), []string{aFile(t, 5000)}))
	p.await(`document.querySelector("#register-files .as-curl pre").textContent.includes("-F file=@source.tgz")`)
	p.await(`document.querySelector("#register-files .as-curl pre").textContent.includes("--form-string name=hello")`)
	p.click("button", "Upload and register")
	p.says("Building revision 1 of hello")
	log := f.logOf("/v1/functions/hello/revisions/1/log")
	log.write("unpacking 3 entries\n", false)
	p.says("unpacking 3 entries")
	f.mu.Lock()
	fn := f.functions[len(f.functions)-1]
	fn["state"], fn["live_revision"] = "ready", 1
	f.mu.Unlock()
	log.write("checked\n", true)
	p.says("Revision 1 of hello is ready")
	p.click("a", "Add a trigger")
	p.await(`document.querySelector("#trigger-image").value == "hello"`)
	p.fill("#trigger-url", "/hello")
	p.fill("#trigger-command", "sh hello.sh")
	p.click("button", "Register the trigger")
	p.says("http://127.0.0.1:8081/hello")
	p.says("curl --fail-with-body -o result.zip")
	p.accessible()
	p.show("registered")
}

func TestAFailedBuildShowsWhy(t *testing.T) {
	t.Parallel()
	f := newFake(t).populated()
	p := newTab(t)
	p.do(chromedp.Navigate(f.url + "/#/register/files"))
	p.fill("#files-name", "broken")
	p.do(chromedp.SetUploadFiles(chromedp.CSS("#files-file"), []string{aFile(t, 10)}))
	p.click("button", "Upload and register")
	p.says("Building revision 1 of broken")
	f.mu.Lock()
	fn := f.functions[len(f.functions)-1]
	fn["state"], fn["detail"] = "failed", "setup ended with exit code 3"
	f.mu.Unlock()
	f.logOf("/v1/functions/broken/revisions/1/log").write("make: nothing to make\n", true)
	p.says("Revision 1 of broken could not be built")
	p.says("setup ended with exit code 3")
	p.says("make: nothing to make")
	p.await(`document.querySelector("#files-name").value == "broken"`) // the form can be sent again
}

func TestAnUploadCanBeCancelled(t *testing.T) {
	t.Parallel()
	f := newFake(t).populated()
	f.uploading = make(chan struct{})
	p := newTab(t)
	p.do(chromedp.Navigate(f.url + "/#/register/files"))
	p.fill("#files-name", "large")
	p.do(chromedp.SetUploadFiles(chromedp.CSS("#files-file"), []string{aFile(t, 64<<20)}))
	p.click("button", "Upload and register")
	p.await(`document.querySelector("progress")?.max > 64 << 20`)
	p.await(`document.querySelector("progress").value > 0 && document.querySelector("progress").value < document.querySelector("progress").max`)
	p.await(`/Sending .* of 64 MiB/.test(document.body.innerText)`)
	p.accessible()
	p.show("sending")
	p.click("button", "Cancel")
	p.says("Cancelled. Nothing was registered.")
	close(f.uploading)
	p.click("button", "Upload and register") // the form can be sent again
	p.says("Building revision 1 of large")
	f.logOf("/v1/functions/large/revisions/1/log").write("", true)
}

func TestWhatIsWrongStandsBesideItsField(t *testing.T) {
	t.Parallel()
	f := newFake(t).populated()
	p := newTab(t, size(1200, 900))
	f.refuse = &object{
		"status": 422, "kind": "not_allowed", "title": "A value is not allowed", "detail": "the function cannot be registered as it is",
		"errors": []object{{"pointer": "/image", "detail": "running an image needs a cluster"}, {"pointer": "/odd", "detail": "is odd"}},
	}
	p.do(chromedp.Navigate(f.url + "/#/register/image"))
	p.says("Images need a cluster")
	p.fill("#image-name", "team")
	p.fill("#image-image", "team/app:1")
	p.click("button", "Register the image")
	p.says("A value is not allowed")
	p.says("req-0123456789abcdef")
	p.await(`document.querySelector("#image-image-error").textContent == "Running an image needs a cluster"`)
	p.await(`document.querySelector("#image-image").matches("[aria-invalid]:focus")`)
	p.await(`document.querySelector("#register-image .problem li").textContent == "odd is odd"`)
	p.accessible()
	p.show("refused")
	p.fill("#image-image", "team/app:2") // an edit removes the error
	p.await(`!document.querySelector("#image-image").matches("[aria-invalid]") && !document.querySelector("#image-image-error").textContent`)
}

func TestTheFirstStart(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	p := newTab(t, size(1200, 900))
	p.do(chromedp.Navigate(f.url + "/"))
	p.says("Nothing is registered yet")
	p.await(`document.querySelectorAll(".cards.three details pre").length == 3`)
	eval[chromedp.Void](p, `document.querySelectorAll("details").forEach((d) => d.open = true)`)
	p.accessible()
	p.show("empty")
	p.click("button", "Register the example")
	p.says("http://127.0.0.1:8081/hello/:name")
	p.await(`location.hash == "#/functions/hello"`)
	if !f.took("PUT /v1/functions/hello?wait=60s") || !f.took("PUT /v1/triggers/hello") {
		t.Fatalf("asked for %q", f.asked)
	}
}
