package local

import (
	"slices"
	"strings"
	"testing"
)

func TestLandlockCanBeSwitchedOff(t *testing.T) {
	b := newBench(t, openDir(t))
	b.o.NoLandlock, b.landlock = true, landlockABI(true)
	if err := b.Launch(t.Context(), revision("stay"), "inv"); err != nil {
		t.Fatal(err)
	}
	if report := b.reports(1)[0]; strings.Contains(report, `"landlock":true`) {
		t.Errorf("the runner is told to confine itself:\n%s", report)
	}
	if got := b.Sandbox(); !strings.HasPrefix(got, "no landlock, ") {
		t.Errorf("sandbox %q", got)
	}
	if all := b.Caveats(); !slices.ContainsFunc(all, func(s string) bool { return strings.Contains(s, "DAVIT_LANDLOCK") }) {
		t.Errorf("caveats %q", all)
	}
}
