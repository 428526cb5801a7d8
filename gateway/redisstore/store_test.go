package redisstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"go.uber.org/goleak"

	"davit/gateway/embedded"
	"davit/internal/faas"
	"davit/internal/testenv"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// server is one Redis, which any number of stores may use.
type server struct {
	url string
}

// each runs a test with every kind of Redis that a Store works with.
func each(t *testing.T, run func(t *testing.T, srv server)) {
	t.Helper()
	for _, kind := range []struct {
		name  string
		start func(t *testing.T) string
	}{
		{"redis", func(t *testing.T) string { return "redis://" + testenv.Redis(t) }},
		{"embedded", startEmbedded},
		{"miniredis", startMiniredis},
	} {
		t.Run(kind.name, func(t *testing.T) {
			run(t, server{url: kind.start(t)})
		})
	}
}

func startEmbedded(t *testing.T) string {
	t.Helper()
	e, err := embedded.Start(t.Context(), embedded.Options{Dir: filepath.Join(t.TempDir(), "redis"), Log: slog.New(slog.DiscardHandler)})
	must(t, err)
	t.Cleanup(func() { must(t, e.Close()) })
	return e.URL()
}

func startMiniredis(t *testing.T) string {
	t.Helper()
	m := miniredis.NewMiniRedis()
	m.ClockTTL(true)
	if err := m.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return "redis://" + m.Addr()
}

// bare returns a Store whose registry is not open.
func (srv server) bare(t testing.TB) *Store {
	t.Helper()
	s, err := Open(t.Context(), Options{URL: srv.url, Endpoints: endpointsOf, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}

// store returns a Store whose registry is open, as after a gateway's start.
func (srv server) store(t testing.TB) *Store {
	t.Helper()
	s := srv.bare(t)
	must(t, s.Restore(t.Context(), &faas.Snapshot{}))
	return s
}

// running runs the store until the test ends. It returns when the store is subscribed.
func (s *Store) running(t testing.TB) {
	t.Helper()
	messages, cancel := s.Subscribe()
	defer cancel()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		must(t, <-ended)
	})
	await(t, messages, KindResync)
}

// await returns the next message of a kind.
func await(t testing.TB, messages <-chan Message, kind MessageKind) Message {
	t.Helper()
	end := time.After(20 * time.Second)
	for {
		select {
		case m, ok := <-messages:
			if !ok {
				t.Fatalf("the channel is closed; want a message %q", kind)
			}
			if m.Kind == kind {
				return m
			}
		case <-end:
			t.Fatalf("no message %q came", kind)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantKind(t testing.TB, err error, kind faas.Kind) {
	t.Helper()
	if err == nil || faas.KindOf(err) != kind {
		t.Fatalf("got error %v, want one of kind %s", err, kind)
	}
}

func mustGet[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// now returns the time in the resolution that Redis keeps.
func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

func TestOpenNeverShowsThePassword(t *testing.T) {
	for _, text := range []string{
		"redis://:hunter2@host:1/x", "hunter2", "hunter2://x", "redis://u:hunter2@h/x", "redis://h?password=hunter2&nope=1",
		"redis://:hunter2%zz@h", "redis://:hunter2@[::1", "",
	} {
		_, err := Open(t.Context(), Options{URL: text})
		if err == nil {
			t.Errorf("%q was accepted", text)
			continue
		}
		wantKind(t, err, faas.Invalid)
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: the error shows the password: %v", text, err)
		}
	}
}

func TestWrongPasswordIsUnavailableAndNotShown(t *testing.T) {
	addr := testenv.Redis(t)
	must(t, server{url: "redis://" + addr}.bare(t).client.ConfigSet(t.Context(), "requirepass", "right").Err())
	for _, user := range []*url.Userinfo{url.UserPassword("", "hunter2"), nil} {
		u := url.URL{Scheme: "redis", Host: addr, User: user}
		s := mustGet[*Store](t)(Open(t.Context(), Options{URL: u.String()}))
		err := s.Ready(t.Context())
		wantKind(t, err, faas.Unavailable)
		if strings.Contains(fmt.Sprintf("%+v", err), "hunter2") {
			t.Errorf("the error shows the password: %v", err)
		}
		must(t, s.Close())
	}
}

func TestRedactRemovesThePassword(t *testing.T) {
	s := mustGet[*Store](t)(Open(t.Context(), Options{URL: "redis://:hunter2@127.0.0.1:1"}))
	defer func() { must(t, s.Close()) }()
	err := s.translate(errors.New("ERR unknown command `HELLO`, with args beginning with: `2`, `AUTH`, `default`, `hunter2`"))
	if strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "***") {
		t.Errorf("got %v", err)
	}
}

func TestSecretIsOne(t *testing.T) {
	each(t, func(t *testing.T, srv server) {
		const gateways = 20
		stores := make([]*Store, gateways)
		for i := range stores {
			stores[i] = srv.bare(t)
		}
		secrets, errs := make([][]byte, gateways), make([]error, gateways)
		together(gateways, func(i int) { secrets[i], errs[i] = stores[i].Secret(t.Context()) })
		for i := range gateways {
			must(t, errs[i])
			if len(secrets[i]) != 32 || !slices.Equal(secrets[i], secrets[0]) {
				t.Fatalf("gateway %d got %x, gateway 0 got %x", i, secrets[i], secrets[0])
			}
		}
	})
}

func TestReady(t *testing.T) {
	each(t, func(t *testing.T, srv server) {
		must(t, srv.bare(t).Ready(t.Context()))
	})
}

func TestPrefixesKeepInstallationsApart(t *testing.T) {
	each(t, func(t *testing.T, srv server) {
		a := srv.bare(t)
		b := mustGet[*Store](t)(Open(t.Context(), Options{URL: srv.url, Prefix: "other:"}))
		defer func() { must(t, b.Close()) }()
		one, other := mustGet[[]byte](t)(a.Secret(t.Context())), mustGet[[]byte](t)(b.Secret(t.Context()))
		if slices.Equal(one, other) {
			t.Error("both have the same secret")
		}
		for _, key := range mustGet[[]string](t)(a.client.Keys(t.Context(), "*").Result()) {
			if !strings.HasPrefix(key, DefaultPrefix) && !strings.HasPrefix(key, "other:") {
				t.Errorf("key %q has no prefix", key)
			}
		}
	})
}

func TestClocksThatDifferCountInTheServersTime(t *testing.T) {
	each(t, func(t *testing.T, srv server) {
		behind := mustGet[*Store](t)(Open(t.Context(), Options{
			URL: srv.url, Now: func() time.Time { return time.Now().Add(-time.Hour) },
		}))
		defer func() { must(t, behind.Close()) }()
		must(t, behind.setClock(t.Context()))
		must(t, behind.Beat(t.Context(), Gateway{ID: "behind", RunnerAddr: "h:1"}))
		live := mustGet[[]faas.GatewayID](t)(srv.bare(t).LiveGatewayIDs(t.Context()))
		if !slices.Equal(live, []faas.GatewayID{"behind"}) {
			t.Errorf("live gateways: %v", live)
		}
	})
}

// together calls do(0) to do(n-1) concurrently and returns when all have returned.
func together(n int, do func(i int)) {
	start, ended := make(chan struct{}), make(chan struct{})
	for i := range n {
		go func() {
			<-start
			do(i)
			ended <- struct{}{}
		}()
	}
	close(start)
	for range n {
		<-ended
	}
}
