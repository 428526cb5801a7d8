package web_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"davit/internal/testenv"
)

func TestInvocationsAreLive(t *testing.T) {
	t.Parallel()
	f := newFake(t).populated()
	p := newTab(t, size(1200, 900))
	p.do(chromedp.Navigate(f.url + "/#/invocations"))
	row := func(n int) string { return `document.querySelector('a[href$="` + anID(n) + `"]')` }
	p.await(row(8) + `?.textContent == "running"`)
	p.await(`document.querySelector("#live").textContent == "live"`)
	before := eval[string](p, row(8)+`.closest("tr").cells[5].textContent`)
	p.await(row(8) + `.closest("tr").cells[5].textContent != "` + before + `"`) // the shown time grows
	f.change(anID(8), object{"state": "succeeded", "exit_code": 0, "ended_at": ago(0)})
	p.await(row(8) + `.textContent == "succeeded"`)

	f.mu.Lock()
	f.invocations = append(f.invocations, anInvocation(30, "thumbnail", "make-thumbnail", "queued", time.Second))
	f.mu.Unlock()
	f.cut() // the page reads the changes of meanwhile
	p.await(row(30) + `?.textContent == "queued"`)
	p.await(`document.querySelector("#live").textContent == "live"`)
}

func TestInvocationsAreFilteredByTheAddress(t *testing.T) {
	t.Parallel()
	f := newFake(t).populated()
	for n := 100; n < 180; n++ {
		f.invocations = append(f.invocations, anInvocation(n, "thumbnail", "make-thumbnail", "succeeded", time.Minute))
	}
	p := newTab(t)
	p.do(chromedp.Navigate(f.url + "/#/invocations?function=thumbnail&state=succeeded"))
	p.await(`document.querySelectorAll("tbody tr").length == 50`)
	p.await(`document.querySelector("#filter-function").value == "thumbnail" && document.querySelector("#filter-state").value == "succeeded"`)
	p.click("button", "Show older ones")
	p.await(`document.querySelectorAll("tbody tr").length == 85`)
	f.change(anID(6), object{"state": "failed", "reason": "timed_out"}) // an older invocation leaves the list
	p.await(`document.querySelectorAll("tbody tr").length == 84`)
	p.do(chromedp.Focus(chromedp.CSS("#filter-state")), chromedp.SetValue(chromedp.CSS("#filter-state"), "failed"))
	eval[chromedp.Void](p, `document.querySelector("#filter-state").dispatchEvent(new Event("change", {bubbles: true}))`)
	p.await(`document.querySelectorAll("tbody tr").length == 1 && location.hash == "#/invocations?function=thumbnail&state=failed"`)
	p.await(`document.activeElement.id == "filter-state"`)
	p.do(chromedp.NavigateBack())
	p.await(`document.querySelectorAll("tbody tr").length == 50 && document.querySelector("#filter-state").value == "succeeded"`)
}

func TestALogIsFollowed(t *testing.T) {
	t.Parallel()
	f := newFake(t).populated()
	p := newTab(t)
	path := "/v1/invocations/" + anID(8) + "/log"
	log := f.logOf(path)
	p.do(chromedp.Navigate(f.url + "/#/invocations/" + anID(8)))
	p.says("Waiting for the first line")
	log.write("one\n\x1b[31mtwo\x1b[0m\n<b>three</b>\n", false)
	p.await(`document.querySelector("pre.log").textContent == "one\ntwo\n<b>three</b>\n"`)
	p.do(chromedp.Reload())
	p.await(`document.querySelector("pre.log")?.textContent == "one\ntwo\n<b>three</b>\n"`)
	eval[chromedp.Void](p, `Object.defineProperty(document, "hidden", {value: true, configurable: true}); document.dispatchEvent(new Event("visibilitychange"))`)
	log.write("four\n", false)
	eval[chromedp.Void](p, `Object.defineProperty(document, "hidden", {value: false}); document.dispatchEvent(new Event("visibilitychange"))`)
	p.await(`document.querySelector("pre.log").textContent.endsWith("</b>\nfour\n")`)
	log.write("five\n", true)
	p.says("End of the log")
	p.await(`document.querySelector("pre.log").textContent.endsWith("four\nfive\n")`)
	log.mu.Lock()
	defer log.mu.Unlock()
	if !slices.Contains(log.froms, "30") {
		t.Errorf("the log was read from %q; after a rest it goes on at 30", log.froms)
	}
}

func TestAnInvocationIsCancelled(t *testing.T) {
	t.Parallel()
	f := newFake(t).populated()
	p := newTab(t)
	p.do(chromedp.Navigate(f.url + "/#/invocations/" + anID(8)))
	p.click("button", "Cancel")
	p.says("Somebody cancelled it")
	p.await(`![...document.querySelectorAll("button")].some((b) => b.innerText.startsWith("Cancel"))`)
	if !f.took("POST /v1/invocations/" + anID(8) + "/cancel") {
		t.Errorf("asked for %q", f.asked)
	}
}

func TestAResultIsLinked(t *testing.T) {
	t.Parallel()
	f := newFake(t).populated()
	p := newTab(t)
	p.do(chromedp.Navigate(f.url + "/#/invocations/" + anID(7)))
	p.says("Download the zip")
	links := eval[[]string](p, `[...document.querySelectorAll("main a[download]")].map((a) => a.getAttribute("href"))`)
	base := "/v1/invocations/" + anID(7)
	want := []string{base + "/result", base + "/result?redirect=true", base + "/result/thumb.png", base + "/result/meta/size%20%26%20name.json", base + "/log", base + "/input"}
	if !slices.Equal(links, want) {
		t.Errorf("links %q, want %q", links, want)
	}
	if bar := eval[float64](p, `document.querySelector(".phase.run").getBoundingClientRect().width / document.querySelector(".bar-chart").clientWidth`); bar < 0.8 || bar > 0.95 {
		t.Errorf("the command took 334 of 379 ms, its bar %v of the whole", bar)
	}
}

func TestAFunctionIsRolledBackAndDeleted(t *testing.T) {
	t.Parallel()
	f := newFake(t).populated()
	p := newTab(t, size(1200, 900))
	p.do(chromedp.Navigate(f.url + "/#/functions/thumbnail"))
	p.click("button", "Roll back to 2")
	p.says("Roll forward to 3")
	curl := eval[string](p, `[...document.querySelectorAll(".code pre")].map((p) => p.textContent).find((t) => t.startsWith("curl"))`)
	if want := "curl --fail-with-body -OJ -F image=@FILE http://127.0.0.1:8081/thumbnail/SIZE"; curl != want {
		t.Errorf("curl is %q, want %q", curl, want)
	}
	p.click("button", "Delete the function")
	p.await(`document.querySelector("dialog[open]")?.innerText.includes("/thumbnail/:size")`)
	p.await(`document.activeElement.innerText == "Keep it"`)
	p.accessible()
	p.show("sure")
	p.click("dialog button", "Keep it")
	p.await(`!document.querySelector("dialog")`)
	p.click("button", "Delete the function")
	p.click("dialog button", "Delete it")
	p.await(`location.hash == "#/functions"`)
	p.await(`document.querySelectorAll(".card").length == 2`)
	if !f.took("DELETE /v1/functions/thumbnail?triggers=true") {
		t.Errorf("asked for %q", f.asked)
	}
}

func TestAnAddressIsCopied(t *testing.T) {
	t.Parallel()
	f := newFake(t).populated()
	p := newTab(t)
	p.do(chromedp.Navigate(f.url + "/#/functions"))
	p.says("/count")
	eval[chromedp.Void](p, `navigator.clipboard.writeText = async (text) => { window.copied = text }`)
	eval[chromedp.Void](p, `document.querySelector('[aria-label="Copy URL of count"]').click()`)
	p.await(`window.copied == "http://127.0.0.1:8081/count" && document.querySelector("#announce").textContent == "Copied URL of count"`)
}

func TestSigningOutAndIn(t *testing.T) {
	t.Parallel()
	f := newFake(t).populated()
	p := newTab(t, size(1200, 900))
	p.do(chromedp.Navigate(f.url + "/#/functions"))
	p.says("word-count")
	f.lock() // the session ends
	f.cut()
	p.says("the session has ended")
	p.await(`!document.body.innerText.includes("word-count") && document.activeElement.id == "token"`)
	p.fill("#token", "wrong")
	p.click("button", "Sign in")
	p.says("The token is not the right one.")
	p.accessible()
	p.show("signed-out")
	p.fill("#token", "secret")
	p.click("button", "Sign in")
	p.says("word-count")
	p.await(`document.querySelector("#live").textContent == "live"`)
	for range 2 { // the session ends while a reload is due
		f.tell(object{"kind": "registrations"})
	}
	p.click("button", "Sign out")
	p.says("You are signed out")
	p.fill("#token", "secret")
	p.click("button", "Sign in")
	p.says("word-count")
	p.click("button", "Sign out")
	p.says("You are signed out")
	if !f.took("DELETE /v1/session") {
		t.Errorf("asked for %q", f.asked)
	}
}

func TestAFaultIsShownWithItsRequest(t *testing.T) {
	t.Parallel()
	f := newFake(t).populated()
	p := newTab(t)
	p.do(chromedp.Navigate(f.url + "/#/functions/word-count"))
	p.says("Delete the function")
	f.mu.Lock()
	f.refuse = &object{"status": 503, "kind": "unavailable", "title": "Davit cannot do this now", "detail": "the store does not answer"}
	f.mu.Unlock()
	p.click("button", "Delete the function")
	p.click("dialog button", "Delete it")
	for _, text := range []string{"Davit cannot do this now", "the store does not answer", "Wait a moment", "req-0123456789abcdef"} {
		p.says(text)
	}
}

// A fault of a page is recorded.
func TestFaultsAreNoticed(t *testing.T) {
	t.Parallel()
	f := newFake(t).populated()
	p := newTab(t)
	p.do(chromedp.Navigate(f.url + "/"))
	p.says("Health")
	eval[chromedp.Void](p, `console.error("heard"); setTimeout(() => { throw new Error("thrown") }); document.body.setAttribute("style", "color: red")`)
	var all []string
	testenv.EventuallyWithin(t, patience, "three faults", func() bool {
		all = append(all, p.takeFaults()...)
		return len(all) >= 3
	})
	for _, text := range []string{"heard", "thrown", "Content Security Policy"} {
		if !strings.Contains(strings.Join(all, "\n"), text) {
			t.Errorf("noticed %q, not %q", all, text)
		}
	}
}
