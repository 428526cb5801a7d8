package web_test

import (
	"context"
	"errors"
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

	"davit/internal/testenv"
)

// patience is how long a test waits for a condition.
const patience = 30 * time.Second

// The tests share a browser and programs. The first test that needs them starts or builds them.
var (
	sharedDir  string // removed at the end
	endBrowser = func() {}

	browser  = sync.OnceValues(startBrowser)
	programs = sync.OnceValue(buildPrograms)
)

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("/var/tmp", "davit-web-")
	if err == nil {
		err = os.Chmod(dir, 0o755) // because commands run as another user
	}
	if err != nil {
		println("web: " + err.Error())
		os.Exit(1)
	}
	sharedDir = dir
	code := m.Run()
	endBrowser()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// startBrowser starts Chromium. Each test has its own browser context, with its own cookies and storage.
func startBrowser() (context.Context, error) {
	path, err := exec.LookPath("chromium")
	if err != nil {
		return nil, errors.New("there is no chromium on the PATH: run `make test-deps`")
	}
	allocator, stop := chromedp.NewExecAllocator(context.Background(),
		chromedp.ExecPath(path), chromedp.UserDataDir(filepath.Join(sharedDir, "profile")), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.Flag("disable-quic", true), chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		// Background pages must not be slowed down, because several tests run at the same time.
		chromedp.Flag("disable-background-timer-throttling", true), chromedp.Flag("disable-backgrounding-occluded-windows", true), chromedp.Flag("disable-renderer-backgrounding", true))
	ctx, end := chromedp.NewContext(allocator)
	endBrowser = func() {
		_ = chromedp.Cancel(ctx)
		end()
		stop()
	}
	if err := chromedp.Do(ctx); err != nil {
		return nil, fmt.Errorf("start chromium: %w", err)
	}
	return ctx, nil
}

type action = chromedp.Action[chromedp.Void]

// tab is a page that records its faults.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu     sync.Mutex
	faults []string
}

// newTab opens an empty page in a new context, with the focus. A fault of the page fails the test when it ends.
func newTab(t *testing.T, prepare ...action) *tab {
	t.Helper()
	parent, err := browser()
	if err != nil {
		t.Fatal(err)
	}
	p := &tab{t: t}
	ctx, end := chromedp.NewContext(parent, chromedp.WithNewBrowserContext(), chromedp.WithListener(p.note))
	p.ctx = ctx
	if err := chromedp.Do(ctx, append([]action{focused()}, prepare...)...); err != nil { // without a timeout, because the context's end closes the tab
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

// note records exceptions, errors on the console and violations of the policy, but not error statuses, which a test may
// expect.
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

// run does one action and returns its value.
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

// await waits until an expression is true in the page.
func (p *tab) await(expression string) {
	p.t.Helper()
	defer func() {
		if p.t.Failed() {
			p.t.Logf("the page's text:\n%s", eval[string](p, "document.body.innerText.slice(0, 3000)"))
		}
	}()
	testenv.EventuallyWithin(p.t, patience, expression, func() bool { return eval[bool](p, "Boolean("+expression+")") })
}

// says waits until the page shows a text.
func (p *tab) says(text string) {
	p.t.Helper()
	p.await(fmt.Sprintf("document.body.innerText.includes(%q)", text))
}

// click clicks the first visible element that matches the selector and contains the text.
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

// show saves a picture in the folder that DAVIT_SCREENSHOTS names. It does nothing if that is not set.
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

// scheme selects light or dark, without transitions.
func scheme(name string) action {
	return call(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: name}, {Name: "prefers-reduced-motion", Value: "reduce"},
	}})
}

// focused gives the page the focus, also while other pages have it.
func focused() action {
	return call(emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true})
}

func withoutScripts() action {
	return call(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
}

// call sends a command of the protocol and ignores its answer.
func call[P any](command cdp.Command[P, cdp.Empty], params P) action {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, command, params)
		return err
	})
}
