package web_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/chromedp/chromedp"
)

// views returns all views by their routes, with a text that each shows.
func views() map[string]string {
	return map[string]string{
		"":                             "Last invocations",
		"#/register":                   "A function from files",
		"#/register/image":             "Images need a cluster",
		"#/register/trigger":           "Files to return",
		"#/functions":                  "ready, 1 of 2 warm",
		"#/functions/thumbnail":        "Roll back to 2",
		"#/functions/report-pdf?log=2": "Build log of revision 2",
		"#/invocations":                "report-pdf",
		"#/invocations?state=failed":   "Clear filters",
		"#/invocations/" + anID(7):     "Download the zip (88 KiB)",
		"#/invocations/" + anID(2):     "The command reports an error of its own",
		"#/invocations/" + anID(8):     "the command, so far",
		"#/nowhere":                    "Nothing is at #/nowhere",
		"#/invocations/unknown":        "there is no invocation",
	}
}

func TestEachViewIsAccessible(t *testing.T) {
	t.Parallel()
	f := newFake(t).populated()
	f.logOf("/v1/functions/report-pdf/revisions/2/log").write("unpacking 12 entries\nbin/pandoc: a link that leads out\n", true)
	for route, text := range views() {
		t.Run("at "+route, func(t *testing.T) {
			t.Parallel()
			p := newTab(t, size(1200, 800), scheme("light"))
			p.do(chromedp.Navigate(f.url + "/" + route))
			p.says(text)
			for _, width := range []int64{1200, 320} {
				for _, colours := range []string{"light", "dark"} {
					p.do(size(width, 800), scheme(colours))
					p.accessible()
					p.show(fmt.Sprintf("%d-%s-%s", width, colours, fileName(route)))
				}
				if wide := eval[int64](p, "document.documentElement.scrollWidth"); wide > width {
					t.Errorf("at %d px it is %d px wide, and scrolls to the side", width, wide)
				}
			}
		})
	}
}

func fileName(route string) string {
	name := []rune("view")
	for _, c := range route {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
			name = append(name, c)
		} else if name[len(name)-1] != '-' {
			name = append(name, '-')
		}
	}
	return string(name)
}

// accessible checks the page with axe-core.
func (p *tab) accessible() {
	p.t.Helper()
	axe, err := os.ReadFile("testdata/axe.min.js")
	if err != nil {
		p.t.Fatal(err)
	}
	if !eval[bool](p, `"axe" in window`) {
		eval[chromedp.Void](p, string(axe))
	}
	type violation struct {
		ID, Help string
		Nodes    []struct{ HTML, FailureSummary string }
	}
	tags := `["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]`
	for _, v := range eval[[]violation](p, fmt.Sprintf("axe.run({runOnly: %s}).then((r) => r.violations)", tags)) {
		for _, n := range v.Nodes {
			p.t.Errorf("%s (%s): %s\n%s", v.ID, v.Help, n.HTML, n.FailureSummary)
		}
	}
}
