//go:build all

package local

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"davit/internal/faas"
)

func TestARunnerIsAnotherUserWithoutRights(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("run the tests as root: only root can start processes of another user")
	}
	b := newBench(t, openDir(t))
	if err := b.Launch(t.Context(), revision("stay"), "inv"); err != nil {
		t.Fatal(err)
	}
	report := b.reports(1)[0]
	for _, want := range []string{
		`"token":"token of f@3"`, `"gateways":["127.0.0.1:1"]`, `"invocation":"inv"`, `"start":"job"`, `"slots":1`,
		`"landlock":true`, `"hide":["/private","` + b.dir + `/runners","` + b.dir + `/sources"]`, `"start_timeout":"5m"`, `"memory":268435456`,
		`env ["PATH=` + usualPath + `"]`, "source 1 <nil>", "permission denied\n",
		"Uid:\t65532\t65532\t65532\t65532\n", "Gid:\t65532\t65532\t65532\t65532\n", "Groups:\t \n",
		"CapInh:\t0000000000000000\n", "CapPrm:\t0000000000000000\n", "CapEff:\t0000000000000000\n", "CapAmb:\t0000000000000000\n",
	} {
		if !strings.Contains(report, want) {
			t.Errorf("the report lacks %q:\n%s", want, report)
		}
	}
	wd := regexp.MustCompile(`(?m)^wd (.*)$`).FindStringSubmatch(report)[1]
	info, err := os.Stat(wd)
	if err != nil || info.Mode().Perm() != 0o700 || info.Sys().(*syscall.Stat_t).Uid != RunnerUID {
		t.Fatalf("its directory is %v, %v", info, err)
	}
	if sandbox := b.Sandbox(); !regexp.MustCompile(`^landlock v\d+, uid 65532$`).MatchString(sandbox) {
		t.Errorf("sandbox %q", sandbox)
	}
	b.stop()
	if e := b.exit(0); e.Reason != "" || e.Invocation != "inv" || e.Start != faas.StartJob || e.Ref != (faas.RevisionRef{Function: "f", Number: 3}) {
		t.Fatalf("exit %+v", e)
	}
	if err := b.Launch(t.Context(), revision("stay"), "late"); faas.KindOf(err) != faas.Unavailable {
		t.Fatalf("launched after the end: %v", err)
	}
}

// A gateway that is not root runs runners as its own user; the next gateway takes them over, even as another user.
func TestAGatewayThatIsNotRoot(t *testing.T) {
	const uid = 12345
	dir := filepath.Join(openDir(t), "own")
	if err := mkdirFor(dir, uid); err != nil {
		t.Fatal(err)
	}
	killedGatewayOf(t, uid, dir, "/proc/self/exe", "127.0.0.1:1")
	reports, _ := filepath.Glob(filepath.Join(dir, "runners", "*", "*", "report"))
	if len(reports) != 3 {
		t.Fatalf("%d runners report", len(reports))
	}
	for _, path := range reports {
		report, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"Uid:\t12345\t12345\t12345\t12345\n", `"landlock":true`} {
			if !strings.Contains(string(report), want) {
				t.Errorf("the report lacks %q:\n%s", want, report)
			}
		}
	}
	b := newBench(t, dir)
	if n := b.Running(faas.RevisionRef{Function: "f", Number: 1}, faas.StartWarm); n != 2 {
		t.Fatalf("%d runners are taken over", n)
	}
}
