package register_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"davit/internal/faas"
)

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

func TestBuildLogFollowsTheBuild(t *testing.T) {
	onEachRedis(t, func(t *testing.T, s *site) {
		a, b := s.start(t, 0), s.start(t, 0)
		a.builder.hold = make(chan struct{})
		r, err := a.PutSource(t.Context(), "f", faas.FunctionSpec{}, bytes.NewReader(tgz(t, "x")))
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range []*gateway{a, b} { // b reads the log of a build on a
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
