package web_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

// newBrowser starts a Chromium of this test's own.
func newBrowser(t *testing.T) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("there is no chromium on the PATH: run `make test-deps`")
	}
	profile, err := os.MkdirTemp("", "davit-web-profile-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(profile) })
	allocator, stop := chromedp.NewExecAllocator(t.Context(),
		chromedp.ExecPath(path), chromedp.UserDataDir(profile), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.Flag("disable-quic", true), chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.WSURLReadTimeout(patience))
	browser, end := chromedp.NewContext(allocator)
	if err := chromedp.Run(browser); err != nil {
		t.Fatalf("start chromium: %v", err)
	}
	t.Cleanup(func() {
		_ = chromedp.Cancel(browser)
		end()
		stop()
	})
	return browser
}

// tab is a page that notes what goes wrong in it.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu     sync.Mutex
	faults []string
}

// newTab opens an empty page. At its end, a fault in it fails the test.
func newTab(t *testing.T, browser context.Context, prepare ...chromedp.Action) *tab {
	t.Helper()
	ctx, end := chromedp.NewContext(browser)
	p := &tab{t: t, ctx: ctx}
	chromedp.ListenTarget(ctx, p.note)
	p.do(append(prepare, log.Enable(), runtime.Enable())...)
	t.Cleanup(func() {
		for _, fault := range p.takeFaults() {
			t.Errorf("the page has a fault: %s", fault)
		}
		if dir := os.Getenv("DAVIT_SCREENSHOTS"); dir != "" && t.Failed() {
			p.shoot(dir, strings.ReplaceAll(t.Name(), "/", "-")+"-failed")
		}
		end()
	})
	return p
}

// note takes exceptions, errors on the console and violations of the policy.
// That an answer has an error status is for the test to know.
func (p *tab) note(event any) {
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		p.fault(e.ExceptionDetails.Error())
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.APITypeError || e.Type == runtime.APITypeWarning || e.Type == runtime.APITypeAssert {
			p.fault(fmt.Sprintf("console.%s: %s", e.Type, e.Args[0].Value))
		}
	case *log.EventEntryAdded:
		if e.Entry.Source != log.SourceNetwork && e.Entry.Level != log.LevelVerbose && e.Entry.Level != log.LevelInfo {
			p.fault(fmt.Sprintf("%s: %s", e.Entry.Source, e.Entry.Text))
		}
	}
}

func (p *tab) fault(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = append(p.faults, text)
}

func (p *tab) takeFaults() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	faults := p.faults
	p.faults = nil
	return faults
}

func (p *tab) do(actions ...chromedp.Action) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 2*patience)
	defer cancel()
	if err := chromedp.Run(ctx, actions...); err != nil {
		p.t.Fatalf("drive the page: %v", err)
	}
}

// eval returns the value of an expression in the page.
func eval[T any](p *tab, expression string) T {
	p.t.Helper()
	var v T
	p.do(chromedp.Evaluate(expression, &v, func(e *runtime.EvaluateParams) *runtime.EvaluateParams { return e.WithAwaitPromise(true) }))
	return v
}

// await waits until an expression holds in the page.
func (p *tab) await(expression string) {
	p.t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(40 * time.Millisecond)
	defer tick.Stop()
	for {
		if eval[bool](p, "Boolean("+expression+")") {
			return
		}
		select {
		case <-deadline.C:
			p.t.Fatalf("this never came true: %s\nthe page says:\n%s", expression, eval[string](p, "document.body.innerText"))
		case <-tick.C:
		}
	}
}

// says waits until the page shows a text.
func (p *tab) says(text string) {
	p.t.Helper()
	p.await(fmt.Sprintf("document.body.innerText.includes(%q)", text))
}

// click clicks the visible element with a role that a selector and a text name.
func (p *tab) click(selector, text string) {
	p.t.Helper()
	find := fmt.Sprintf("[...document.querySelectorAll(%q)].find((e) => e.checkVisibility() && e.innerText.includes(%q))", selector, text)
	p.await(find)
	p.do(chromedp.Evaluate(find+".click()", nil))
}

func (p *tab) fill(selector, text string) {
	p.t.Helper()
	p.do(chromedp.SetValue(selector, "", chromedp.ByQuery), chromedp.SendKeys(selector, text, chromedp.ByQuery))
}

func (p *tab) shoot(dir, name string) {
	p.t.Helper()
	var png []byte
	p.do(chromedp.FullScreenshot(&png, 100))
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o600); err != nil {
		p.t.Fatal(err)
	}
}

func size(width, height int64) chromedp.Action {
	return emulation.SetDeviceMetricsOverride(width, height, 1, false)
}

func scheme(name string) chromedp.Action {
	return emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}})
}
