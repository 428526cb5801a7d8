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

	"github.com/chromedp/cdproto/cdp"
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
	profile, err := os.MkdirTemp("", "davit-web-profile-") //nolint:usetesting // the browser may write to it until the last moment
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(profile) })
	allocator, stop := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), // it is ended below
		chromedp.ExecPath(path), chromedp.UserDataDir(profile), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.Flag("disable-quic", true), chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true))
	browser, end := chromedp.NewContext(allocator)
	if err := chromedp.Do(browser); err != nil {
		t.Fatalf("start chromium: %v", err)
	}
	t.Cleanup(func() {
		_ = chromedp.Cancel(browser)
		end()
		stop()
	})
	return browser
}

type action = chromedp.Action[chromedp.Void]

// tab is a page that notes what goes wrong in it.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu     sync.Mutex
	faults []string
}

// newTab opens an empty page. At its end, a fault in it fails the test.
func newTab(browser context.Context, t *testing.T, prepare ...action) *tab {
	t.Helper()
	p := &tab{t: t}
	ctx, end := chromedp.NewContext(browser, chromedp.WithListener(p.note))
	p.ctx = ctx
	if err := chromedp.Do(ctx, prepare...); err != nil { // without a timeout, which would be the tab's
		t.Fatalf("open a page: %v", err)
	}
	t.Cleanup(func() {
		for _, fault := range p.takeFaults() {
			t.Errorf("the page has a fault: %s", fault)
		}
		if t.Failed() {
			p.show(strings.ReplaceAll(t.Name(), "/", "-") + "-failed")
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
		p.fault(fmt.Sprintf("%s: %s", e.ExceptionDetails.Text, e.ExceptionDetails.Exception.Description))
	case *runtime.EventConsoleAPICalled:
		switch e.Type { //nolint:exhaustive // the others are no faults
		case runtime.ConsoleAPICalledTypeError, runtime.ConsoleAPICalledTypeWarning, runtime.ConsoleAPICalledTypeAssert:
			p.fault(fmt.Sprintf("console.%s: %s", e.Type, e.Args[0].Value))
		}
	case *log.EventEntryAdded:
		if e.Entry.Source != log.EntrySourceNetwork && (e.Entry.Level == log.EntryLevelWarning || e.Entry.Level == log.EntryLevelError) {
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

func (p *tab) do(actions ...action) {
	p.t.Helper()
	run(p, chromedp.Steps(actions...))
}

// run does one action and returns what it gave.
func run[T any](p *tab, a chromedp.Action[T]) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 2*patience)
	defer cancel()
	v, err := chromedp.Run(ctx, a)
	if err != nil {
		p.t.Fatalf("drive the page: %v", err)
	}
	return v
}

// eval returns the value of an expression in the page.
func eval[T any](p *tab, expression string) T {
	p.t.Helper()
	return run(p, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

// await waits until an expression holds in the page.
func (p *tab) await(expression string) {
	p.t.Helper()
	defer func() {
		if p.t.Failed() {
			p.t.Logf("the page says:\n%s", eval[string](p, "document.body.innerText.slice(0, 3000)"))
		}
	}()
	eventually(p.t, expression, func() bool { return eval[bool](p, "Boolean("+expression+")") })
}

// eventually waits until something holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(40 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-deadline.C:
			t.Fatalf("this never came true: %s", what)
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
	eval[chromedp.Void](p, find+".click()")
}

func (p *tab) fill(selector, text string) {
	p.t.Helper()
	p.await(fmt.Sprintf("document.querySelector(%q)?.checkVisibility()", selector))
	eval[chromedp.Void](p, fmt.Sprintf("document.querySelector(%q).value = ''", selector))
	p.do(chromedp.SendKeys(chromedp.CSS(selector), text))
}

// show leaves a picture in the folder that DAVIT_SCREENSHOTS names, if it does.
func (p *tab) show(name string) {
	p.t.Helper()
	dir := os.Getenv("DAVIT_SCREENSHOTS")
	if dir == "" {
		return
	}
	png := run(p, chromedp.FullScreenshot(100))
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o600); err != nil {
		p.t.Fatal(err)
	}
}

func size(width, height int64) action {
	return call(emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: height, DeviceScaleFactor: 1})
}

// scheme is light or dark; colours change at once.
func scheme(name string) action {
	return call(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: name}, {Name: "prefers-reduced-motion", Value: "reduce"},
	}})
}

func withoutScripts() action {
	return call(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
}

// call is a command of the protocol whose answer nobody needs.
func call[P any](command cdp.Command[P, cdp.Empty], params P) action {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, command, params)
		return err
	})
}
