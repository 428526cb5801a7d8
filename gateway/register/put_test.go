package register_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"davit/gateway/register"
	"davit/internal/faas"
	"davit/internal/testenv"
)

func TestRegistrationIsBuiltAndServed(t *testing.T) {
	onEachRedis(t, func(t *testing.T, s *site) {
		g := s.start(t, 0)
		source := tgz(t, "one")
		r, err := g.PutSource(t.Context(), "f", faas.FunctionSpec{}, bytes.NewReader(source))
		if err != nil {
			t.Fatal(err)
		}
		if !r.Created || r.Revision.Number != 1 || r.Revision.State != faas.RevisionBuilding {
			t.Fatalf("registered %+v, created %v", r.Revision, r.Created)
		}
		rev, err := g.WaitReady(t.Context(), r.Revision.Ref(), 10*time.Second)
		if err != nil || rev.State != faas.RevisionReady || rev.ReadyAt == nil || rev.Image != "sha256:"+rev.SourceSum {
			t.Fatalf("waited for %+v, %v", rev, err)
		}
		if g.live(t, "f") != 1 {
			t.Fatal("a revision that is ready is not served")
		}
		stored, err := register.Sources{Objects: g.objects}.Open(t.Context(), rev)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(stored)
		if err := errors.Join(err, stored.Close()); err != nil || !bytes.Equal(got, source) {
			t.Fatalf("the stored source differs, %v", err)
		}
		log := buildLog(t, g, rev.Ref())
		if !strings.Contains(log, fmt.Sprintf("read %d bytes", len(source))) || !strings.Contains(log, "ready") {
			t.Fatalf("build log %q", log)
		}
		want := []string{"functions/f/1/build.log", "functions/f/1/revision.json", "functions/f/1/source.tgz", "functions/f/live.json"}
		testenv.Eventually(t, "only the copies are left", func() bool { return slices.Equal(g.keys(t, "functions/"), want) })
	})
}

func buildLog(t *testing.T, g *gateway, ref faas.RevisionRef) string {
	t.Helper()
	r, err := g.BuildLog(t.Context(), ref, true)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestIdenticalRegistrationIsANewRevision(t *testing.T) {
	onEachRedis(t, func(t *testing.T, s *site) {
		g := s.start(t, 0)
		for want := faas.RevisionNumber(1); want <= 3; want++ {
			if rev := g.put(t, "f", "same"); rev.Number != want {
				t.Fatalf("revision %d, want %d", rev.Number, want)
			}
			if g.live(t, "f") != want {
				t.Fatalf("live is %d, want %d", g.live(t, "f"), want)
			}
		}
	})
}

func TestRefusedRegistrationsTakeNoNumber(t *testing.T) {
	onEachRedis(t, func(t *testing.T, s *site) {
		g := s.start(t, 0)
		broken := errors.New("the line is cut")
		for name, put := range map[string]struct {
			name   faas.FunctionName
			spec   faas.FunctionSpec
			source io.Reader
			kind   faas.Kind
			field  string
		}{
			"no archive":          {"f", faas.FunctionSpec{}, strings.NewReader("hello"), faas.Invalid, ""},
			"empty":               {"f", faas.FunctionSpec{}, strings.NewReader(""), faas.Invalid, ""},
			"a cut archive":       {"f", faas.FunctionSpec{}, bytes.NewReader(tgz(t, "x")[:40]), faas.Invalid, ""},
			"a broken upload":     {"f", faas.FunctionSpec{}, iotest.ErrReader(broken), faas.Invalid, ""},
			"a told upload":       {"f", faas.FunctionSpec{}, iotest.ErrReader(faas.Errorf(faas.TooLarge, "told")), faas.TooLarge, ""},
			"a bad name":          {"F", faas.FunctionSpec{}, bytes.NewReader(tgz(t, "x")), faas.NotAllowed, "/name"},
			"a bad field":         {"f", faas.FunctionSpec{MaxConcurrency: -1}, bytes.NewReader(tgz(t, "x")), faas.NotAllowed, "/max_concurrency"},
			"an image beside":     {"f", faas.FunctionSpec{Image: "alpine"}, bytes.NewReader(tgz(t, "x")), faas.NotAllowed, "/image"},
			"what needs a setup":  {"f", faas.FunctionSpec{Setup: "make"}, bytes.NewReader(tgz(t, "x")), faas.NotAllowed, "/setup"},
			"what needs a secret": {"f", faas.FunctionSpec{Secrets: []string{"S"}}, bytes.NewReader(tgz(t, "x")), faas.NotAllowed, "/secrets"},
		} {
			t.Run(name, func(t *testing.T) {
				_, err := g.PutSource(t.Context(), put.name, put.spec, put.source)
				e := problem(t, err, put.kind)
				if put.field != "" && (len(e.Fields) != 1 || e.Fields[0].Pointer != put.field) {
					t.Fatalf("fields %+v, want %s", e.Fields, put.field)
				}
			})
		}
		_, err := g.registry.FindFunction(t.Context(), "f")
		wantKind(t, err, faas.NotFound)
		if keys := g.keys(t, "functions/"); len(keys) > 0 {
			t.Fatalf("the store holds %q", keys)
		}
		if rev := g.put(t, "f", "good"); rev.Number != 1 {
			t.Fatalf("the first good one is revision %d", rev.Number)
		}
	})
}

func TestImageNeedsACluster(t *testing.T) {
	g := newEmbeddedSite(t).start(t, 0)
	_, err := g.PutImage(t.Context(), "f", faas.FunctionSpec{Image: "alpine:3"})
	e := problem(t, err, faas.NotAllowed)
	if len(e.Fields) != 1 || e.Fields[0].Pointer != "/image" || !strings.Contains(e.Fields[0].Detail, "it needs a cluster") {
		t.Fatalf("fields %+v", e.Fields)
	}
	_, err = g.PutImage(t.Context(), "f", faas.FunctionSpec{})
	wantKind(t, err, faas.NotAllowed)
}

func TestImageBringsTheCommand(t *testing.T) {
	s := newEmbeddedSite(t)
	s.capabilities = faas.Capabilities{Images: true}
	g := s.start(t, 0)
	for _, c := range []struct{ own, want faas.Command }{
		{nil, faas.Command{"/entry", "of", "image"}},
		{faas.Command{"mine"}, faas.Command{"mine"}},
	} {
		r, err := g.PutImage(t.Context(), "f", faas.FunctionSpec{Image: "alpine:3", Command: c.own})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := g.WaitReady(t.Context(), r.Revision.Ref(), 10*time.Second); err != nil {
			t.Fatal(err)
		}
		rev, err := g.registry.FindRevision(t.Context(), r.Revision.Ref())
		if err != nil || !slices.Equal(rev.Spec.Command, c.want) {
			t.Errorf("command %q: got %+v, %v", c.own, rev, err)
		}
	}
}

func TestFailedBuildNeverGoesLive(t *testing.T) {
	onEachRedis(t, func(t *testing.T, s *site) {
		g := s.start(t, 0)
		g.put(t, "f", "good")
		g.builder.fails[2] = "no such thing"
		if rev := g.put(t, "f", "bad"); rev.State != faas.RevisionFailed || rev.Detail != "no such thing" {
			t.Fatalf("revision %+v", rev)
		}
		if g.live(t, "f") != 1 {
			t.Fatal("the good revision is not live any more")
		}
		if log := buildLog(t, g, faas.RevisionRef{Function: "f", Number: 2}); !strings.Contains(log, "failed: no such thing") {
			t.Fatalf("build log %q", log)
		}
		if g.put(t, "f", "good again"); g.live(t, "f") != 3 {
			t.Fatalf("live is %d", g.live(t, "f"))
		}
	})
}

func TestFunctionWithoutReadyRevisionSaysWhy(t *testing.T) {
	g := newEmbeddedSite(t).start(t, 0)
	g.builder.hold = make(chan struct{})
	g.builder.fails[1] = "no such thing"
	r, err := g.PutSource(t.Context(), "f", faas.FunctionSpec{}, bytes.NewReader(tgz(t, "x")))
	if err != nil {
		t.Fatal(err)
	}
	says := func(words string) func() bool {
		return func() bool {
			_, err := g.catalog.Live("f")
			return faas.KindOf(err) == faas.Unavailable && strings.Contains(err.Error(), words)
		}
	}
	testenv.Eventually(t, "it says that it builds", says("revision 1 is being built"))
	if rev, err := g.WaitReady(t.Context(), r.Revision.Ref(), time.Millisecond); err != nil || rev.State != faas.RevisionBuilding {
		t.Fatalf("waited for %+v, %v", rev, err)
	}
	close(g.builder.hold)
	testenv.Eventually(t, "it says that it failed", says("revision 1 failed: no such thing"))
	_, err = g.catalog.Live("nobody")
	wantKind(t, err, faas.NotFound)
}

func TestRegistrationsOfOneNameAtOnceAreInOrder(t *testing.T) {
	onEachRedis(t, func(t *testing.T, s *site) {
		gateways := []*gateway{s.start(t, 0), s.start(t, 0)}
		const each = 4
		var mu sync.Mutex
		sums := map[faas.RevisionNumber]string{}
		var wg sync.WaitGroup
		for i := range 2 * each {
			wg.Go(func() {
				g := gateways[i%2]
				r, err := g.PutSource(t.Context(), "f", faas.FunctionSpec{}, bytes.NewReader(tgz(t, fmt.Sprint(i))))
				if err != nil {
					t.Errorf("put: %v", err)
					return
				}
				rev, err := g.WaitReady(t.Context(), r.Revision.Ref(), 20*time.Second)
				if err != nil || rev.State != faas.RevisionReady {
					t.Errorf("waited for %+v, %v", rev, err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				if sums[rev.Number] != "" {
					t.Errorf("two registrations are revision %d", rev.Number)
				}
				sums[rev.Number] = rev.SourceSum
			})
		}
		wg.Wait()
		for n := faas.RevisionNumber(1); n <= 2*each; n++ {
			rev, err := gateways[0].registry.FindRevision(t.Context(), faas.RevisionRef{Function: "f", Number: n})
			if err != nil || rev.SourceSum != sums[n] || rev.Image != "sha256:"+sums[n] {
				t.Errorf("revision %d is %+v, %v; it was registered with %s", n, rev, err, sums[n])
			}
		}
		for _, g := range gateways {
			if g.live(t, "f") != 2*each {
				t.Errorf("%s serves revision %d", g.id, g.live(t, "f"))
			}
		}
	})
}

func TestBuildsOfOneFunctionComeOneByOne(t *testing.T) {
	g := newEmbeddedSite(t).start(t, 0)
	g.builder.hold = make(chan struct{})
	var refs []faas.RevisionRef
	for range 3 {
		r, err := g.PutSource(t.Context(), "f", faas.FunctionSpec{}, bytes.NewReader(tgz(t, "x")))
		if err != nil {
			t.Fatal(err)
		}
		refs = append(refs, r.Revision.Ref())
	}
	other, err := g.PutSource(t.Context(), "other", faas.FunctionSpec{}, bytes.NewReader(tgz(t, "x")))
	if err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "two functions build at once", func() bool { return len(g.builder.builds()) == 2 })
	if got := g.builder.builds(); !slices.Contains(got, refs[0]) || !slices.Contains(got, other.Revision.Ref()) {
		t.Fatalf("builds %v", got)
	}
	close(g.builder.hold)
	if _, err := g.WaitReady(t.Context(), refs[2], 10*time.Second); err != nil {
		t.Fatal(err)
	}
	got := slices.DeleteFunc(g.builder.builds(), func(r faas.RevisionRef) bool { return r.Function != "f" })
	if !slices.Equal(got, refs) {
		t.Fatalf("built in order %v", got)
	}
}

func TestBuildLogFollowsTheBuild(t *testing.T) {
	onEachRedis(t, func(t *testing.T, s *site) {
		a, b := s.start(t, 0), s.start(t, 0)
		a.builder.hold = make(chan struct{})
		r, err := a.PutSource(t.Context(), "f", faas.FunctionSpec{}, bytes.NewReader(tgz(t, "x")))
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range []*gateway{a, b} { // b does not build it
			log, err := g.BuildLog(t.Context(), r.Revision.Ref(), true)
			if err != nil {
				t.Fatal(err)
			}
			defer log.Close()
			first := make([]byte, len("revision 1 of f"))
			if _, err := io.ReadFull(log, first); err != nil || string(first) != "revision 1 of f" {
				t.Fatalf("%s: the log begins with %q, %v", g.id, first, err)
			}
			defer func() {
				rest, err := io.ReadAll(log)
				if err != nil || !strings.Contains(string(rest), "ready after") {
					t.Errorf("%s: the log ends with %q, %v", g.id, rest, err)
				}
			}()
		}
		close(a.builder.hold)
	})
}

func TestBuildLogIsBounded(t *testing.T) {
	g := newEmbeddedSite(t).start(t, 0)
	g.builder.fails[1] = strings.Repeat("long ", 1<<20)
	rev := g.put(t, "f", "x")
	if len(rev.Detail) > 2100 {
		t.Errorf("the detail has %d bytes", len(rev.Detail))
	}
	if log := buildLog(t, g, rev.Ref()); len(log) > 1<<20+100 || !strings.HasSuffix(log, "left out\n") {
		t.Fatalf("the log has %d bytes and ends with %q", len(log), log[len(log)-20:])
	}
	_, err := g.BuildLog(t.Context(), faas.RevisionRef{Function: "f", Number: 9}, false)
	wantKind(t, err, faas.NotFound)
}

func TestBuildHasALimitOfTime(t *testing.T) {
	s := newEmbeddedSite(t)
	s.buildTimeout = time.Millisecond
	g := s.start(t, 0)
	g.builder.hold = make(chan struct{})
	r, err := g.PutSource(t.Context(), "f", faas.FunctionSpec{}, bytes.NewReader(tgz(t, "x")))
	if err != nil {
		t.Fatal(err)
	}
	rev, err := g.WaitReady(t.Context(), r.Revision.Ref(), 10*time.Second)
	if err != nil || rev.State != faas.RevisionFailed || !strings.Contains(rev.Detail, "longer than") {
		t.Fatalf("revision %+v, %v", rev, err)
	}
}
