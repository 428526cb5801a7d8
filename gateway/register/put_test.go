package register_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"davit/gateway/register"
	"davit/internal/blob"
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
			t.Fatal("a ready revision is not served")
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
		testenv.Eventually(t, "only the objects of the revision remain", func() bool { return slices.Equal(g.keys(t, "functions/"), want) })
	})
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
			"no archive":                           {"f", faas.FunctionSpec{}, strings.NewReader("hello"), faas.Invalid, ""},
			"empty":                                {"f", faas.FunctionSpec{}, strings.NewReader(""), faas.Invalid, ""},
			"a cut archive":                        {"f", faas.FunctionSpec{}, bytes.NewReader(tgz(t, "x")[:40]), faas.Invalid, ""},
			"a broken upload":                      {"f", faas.FunctionSpec{}, iotest.ErrReader(broken), faas.Invalid, ""},
			"an upload with an error for the user": {"f", faas.FunctionSpec{}, iotest.ErrReader(faas.Errorf(faas.TooLarge, "too large")), faas.TooLarge, ""},
			"a bad name":                           {"F", faas.FunctionSpec{}, bytes.NewReader(tgz(t, "x")), faas.NotAllowed, "/name"},
			"a bad field":                          {"f", faas.FunctionSpec{MaxConcurrency: -1}, bytes.NewReader(tgz(t, "x")), faas.NotAllowed, "/max_concurrency"},
			"an image beside":                      {"f", faas.FunctionSpec{Image: "alpine"}, bytes.NewReader(tgz(t, "x")), faas.NotAllowed, "/image"},
			"what needs a setup":                   {"f", faas.FunctionSpec{Setup: "make"}, bytes.NewReader(tgz(t, "x")), faas.NotAllowed, "/setup"},
			"what needs a secret":                  {"f", faas.FunctionSpec{Secrets: []string{"S"}}, bytes.NewReader(tgz(t, "x")), faas.NotAllowed, "/secrets"},
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
			t.Fatalf("the first accepted revision is %d", rev.Number)
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
	testenv.Eventually(t, "the error names the build", says("revision 1 is being built"))
	if rev, err := g.WaitReady(t.Context(), r.Revision.Ref(), time.Millisecond); err != nil || rev.State != faas.RevisionBuilding {
		t.Fatalf("waited for %+v, %v", rev, err)
	}
	close(g.builder.hold)
	testenv.Eventually(t, "the error names the failure", says("revision 1 failed: no such thing"))
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
					t.Errorf("two registrations got revision %d", rev.Number)
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

func TestANumberThatTheRegistryLostIsNotGivenTwice(t *testing.T) {
	onEachRedis(t, func(t *testing.T, s *site) {
		g := s.start(t, 0)
		one := g.put(t, "f", "one")
		// The object store has a second revision and a part of a third one, which the registry has lost.
		at := one.ReadyAt.Add(time.Second)
		two := faas.Revision{Function: "f", Number: 2, State: faas.RevisionReady, Spec: one.Spec, Image: "sha256:two", SourceSum: "two", CreatedAt: at, ReadyAt: &at}
		record, err := json.Marshal(two)
		if err != nil {
			t.Fatal(err)
		}
		for key, content := range map[blob.Key][]byte{
			"functions/f/2/revision.json": record,
			"functions/f/2/source.tgz":    []byte("two"),
			"functions/f/3/source.tgz":    []byte("thr"),
		} {
			if _, err := g.objects.Put(t.Context(), key, bytes.NewReader(content), int64(len(content)), blob.PutOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		if rev := g.put(t, "f", "four"); rev.Number != 4 || g.live(t, "f") != 4 {
			t.Fatalf("registered as revision %d, live is %d", rev.Number, g.live(t, "f"))
		}
		for n, want := range map[faas.RevisionNumber]faas.RevisionState{2: faas.RevisionReady, 3: faas.RevisionFailed} {
			rev, err := g.registry.FindRevision(t.Context(), faas.RevisionRef{Function: "f", Number: n})
			if err != nil || rev.State != want {
				t.Fatalf("revision %d is %+v, %v", n, rev, err)
			}
		}
	})
}

// secretNames are the secrets that exist; nil: the store is unavailable.
type secretNames []string

func (s secretNames) Missing(_ context.Context, names []string) ([]string, error) {
	if s == nil {
		return nil, faas.Errorf(faas.Unavailable, "the store is unavailable")
	}
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return slices.Contains(s, n) }), nil
}

// TestSecretsExist: a function can only name secrets that exist.
func TestSecretsExist(t *testing.T) {
	spec := faas.FunctionSpec{Secrets: []string{"A", "B", "C"}, RegistrySecret: "login"}
	for _, c := range []struct {
		there  secretNames
		kind   faas.Kind // "": it is accepted
		fields []string
	}{
		{secretNames{"A", "B", "C", "login"}, "", nil},
		{secretNames{"A", "C"}, faas.NotAllowed, []string{"/secrets/1", "/registry_secret"}},
		{nil, faas.Unavailable, nil},
	} {
		s := newEmbeddedSite(t)
		s.capabilities, s.secrets = faas.Capabilities{Images: true, Secrets: true}, c.there
		g := s.start(t, 0)
		_, err := g.PutSource(t.Context(), "f", spec, bytes.NewReader(tgz(t, "x")))
		if c.kind == "" {
			if err != nil {
				t.Error(err)
			}
			continue
		}
		var fields []string
		for _, f := range problem(t, err, c.kind).Fields {
			fields = append(fields, f.Pointer)
		}
		if !reflect.DeepEqual(fields, c.fields) {
			t.Errorf("fields %q, want %q", fields, c.fields)
		}
	}
}
