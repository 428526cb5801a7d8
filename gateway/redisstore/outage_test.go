package redisstore

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"davit/internal/faas"
	"davit/internal/testenv"
)

// operations has one call of every method.
func operations(s *Store, inv *faas.Invocation) map[string]func(ctx context.Context) error {
	drop := func(_ any, err error) error { return err }
	return map[string]func(ctx context.Context) error{
		"Ready":  s.Ready,
		"Secret": func(ctx context.Context) error { return drop(s.Secret(ctx)) },
		"AddRevision": func(ctx context.Context) error {
			_, _, err := s.AddRevision(ctx, "f", faas.FunctionSpec{}, now())
			return err
		},
		"Changes":         func(ctx context.Context) error { return drop(s.Changes(ctx, 0)) },
		"Snapshot":        func(ctx context.Context) error { return drop(s.Snapshot(ctx)) },
		"Restore":         func(ctx context.Context) error { return s.Restore(ctx, &faas.Snapshot{}) },
		"FindFunction":    func(ctx context.Context) error { return drop(s.FindFunction(ctx, "f")) },
		"ListFunctions":   func(ctx context.Context) error { _, _, err := s.ListFunctions(ctx, 1, ""); return err },
		"FindTrigger":     func(ctx context.Context) error { return drop(s.FindTrigger(ctx, "t")) },
		"Beat":            func(ctx context.Context) error { return s.Beat(ctx, Gateway{ID: "a"}) },
		"LiveGateways":    func(ctx context.Context) error { return drop(s.LiveGateways(ctx)) },
		"AwaitApplied":    func(ctx context.Context) error { return s.AwaitApplied(ctx, 1, time.Second) },
		"SaveInvocations": func(ctx context.Context) error { return s.SaveInvocations(ctx, []*faas.Invocation{inv}) },
		"FindInvocation":  func(ctx context.Context) error { return drop(s.FindInvocation(ctx, inv.ID)) },
		"UpdateInvocation": func(ctx context.Context) error {
			return drop(s.UpdateInvocation(ctx, inv.ID, func(*faas.Invocation) error { return nil }))
		},
		"ListInvocations": func(ctx context.Context) error {
			_, _, err := s.ListInvocations(ctx, faas.InvocationFilter{Function: "f", State: faas.Failed})
			return err
		},
		"Enqueue": func(ctx context.Context) error { return s.Enqueue(ctx, inv, now().Add(time.Minute)) },
		"Settle": func(ctx context.Context) error {
			_, _, err := s.Settle(ctx, ended(inv, faas.Failed))
			return err
		},
		"TakeExpired": func(ctx context.Context) error {
			return drop(s.TakeExpired(ctx, "g1", now(), now().Add(time.Minute), 1))
		},
		"Renew":         func(ctx context.Context) error { return drop(s.Renew(ctx, "g1", []faas.InvocationID{inv.ID}, now())) },
		"Bind":          func(ctx context.Context) error { return s.Bind(ctx, inv.ID, 1, "r1") },
		"AcquirePermit": func(ctx context.Context) error { return drop(s.AcquirePermit(ctx, "f", inv.ID, 1, 0, now())) },
		"RenewPermits": func(ctx context.Context) error {
			return s.RenewPermits(ctx, "f", []faas.InvocationID{inv.ID}, now())
		},
	}
}

func wantAllUnavailable(t *testing.T, s *Store, within time.Duration) {
	t.Helper()
	for name, call := range operations(s, newInvocation(t, "f", "tr", faas.Queued)) {
		ctx, cancel := context.WithTimeout(t.Context(), within)
		err := call(ctx)
		cancel()
		fault, ok := errors.AsType[*faas.Error](err)
		if !ok || fault.Kind != faas.Unavailable || fault.RetryAfter <= 0 || errors.Is(err, faas.ErrEmpty) {
			t.Errorf("%s: got %v, want Unavailable and when to try again", name, err)
		}
	}
}

// recovered returns when the store reaches its Redis again. After many refused dials the client tries only once a
// second.
func recovered(t *testing.T, s *Store) {
	t.Helper()
	var err error
	defer func() {
		if err != nil {
			t.Logf("the store says: %v", err)
		}
	}()
	testenv.EventuallyWithin(t, 20*time.Second, "the store reaches its Redis", func() bool {
		err = s.Ready(t.Context())
		return err == nil
	})
}

func TestARedisThatIsAway(t *testing.T) {
	redis := testenv.StartRedis(t)
	s := server{url: "redis://" + redis.Addr}.store(t)
	addRevision(t, s, "f")
	inv := newInvocation(t, "f", "tr", faas.Queued)
	must(t, s.Enqueue(t.Context(), inv, now().Add(time.Minute)))
	redis.Kill()
	wantAllUnavailable(t, s, 20*time.Second)
	redis.Start()
	recovered(t, s)
	wantNumbers(t, s, "f", 0, 1)
	if got := find(t, s, inv.ID); got.State != faas.Queued {
		t.Errorf("found %+v", got)
	}
	redis.Pause()
	wantAllUnavailable(t, s, 50*time.Millisecond)
	redis.Resume()
	recovered(t, s)
	wantNumbers(t, s, "f", 0, 1)
}

func TestARefusalIsQuickWhenRedisIsGone(t *testing.T) {
	redis := testenv.StartRedis(t)
	s := server{url: "redis://" + redis.Addr}.bare(t)
	must(t, s.Ready(t.Context()))
	redis.Kill()
	testenv.Returns(t, 5*time.Second, "the refusal", func() { wantKind(t, s.Ready(t.Context()), faas.Unavailable) })
}

func TestARedisThatTakesNoWrites(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, s *Store)
	}{
		{"full", func(t *testing.T, s *Store) { must(t, s.client.ConfigSet(t.Context(), "maxmemory", "1").Err()) }},
		{"replica", func(t *testing.T, s *Store) { must(t, s.client.Do(t.Context(), "REPLICAOF", "127.0.0.1", "1").Err()) }},
		{"wants replicas", func(t *testing.T, s *Store) {
			must(t, s.client.ConfigSet(t.Context(), "min-replicas-to-write", "1").Err())
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := server{url: "redis://" + testenv.Redis(t)}.store(t)
			c.spoil(t, s)
			inv := newInvocation(t, "f", "tr", faas.Queued)
			_, _, errAdd := s.AddRevision(t.Context(), "f", faas.FunctionSpec{}, now())
			for i, err := range []error{
				s.Ready(t.Context()), errAdd, s.SaveInvocations(t.Context(), []*faas.Invocation{inv}),
				s.Enqueue(t.Context(), inv, now()), s.RenewPermits(t.Context(), "f", []faas.InvocationID{inv.ID}, now()),
			} {
				if err == nil || faas.KindOf(err) != faas.Unavailable {
					t.Errorf("%d: got %v", i, err)
				}
			}
			must(t, s.client.ConfigSet(t.Context(), "maxmemory", "0").Err())
			_, err := s.FindInvocation(t.Context(), inv.ID)
			wantKind(t, err, faas.NotFound) // because nothing was written
		})
	}
}

func TestASlowRedisStillTakesTheBackgroundsWrites(t *testing.T) {
	s := server{url: "redis://" + testenv.Redis(t)}.bare(t)
	must(t, s.Ready(t.Context()))
	must(t, s.client.Do(t.Context(), "CLIENT", "PAUSE", "2000").Err())
	inv := newInvocation(t, "f", "tr", faas.Succeeded)
	start := time.Now()
	saveInvocation(t, s, inv)
	if took := time.Since(start); took < time.Second {
		t.Fatalf("the answer was not slow: %v", took)
	}
	find(t, s, inv.ID)
}

func TestACallersEndIsAnError(t *testing.T) {
	each(t, func(t *testing.T, srv server) {
		s := srv.bare(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.Ready(ctx); !errors.Is(err, context.Canceled) || faas.KindOf(err) != faas.Unavailable {
			t.Errorf("got %v", err)
		}
	})
}

// load is a number of writers that write until stop is closed.
type load struct {
	s            *Store
	stop         chan struct{}
	count        atomic.Int64
	acknowledged [][]*faas.Invocation  // by writer
	numbers      []faas.RevisionNumber // of the first writer
	faults       []error               // other than Unavailable, by writer
}

// write makes one write and records it if it was acknowledged.
func (l *load) write(t *testing.T, writer int) error {
	if writer == 0 {
		rev, _, err := l.s.AddRevision(t.Context(), "f", faas.FunctionSpec{}, now())
		if err == nil {
			l.numbers = append(l.numbers, rev.Number)
		}
		return err
	}
	inv := newInvocation(t, "f", "tr", faas.Succeeded)
	_, applied, err := l.s.Settle(t.Context(), inv)
	if err == nil && !applied {
		return errors.New("not applied, though nobody else settles it")
	}
	if err == nil {
		l.acknowledged[writer] = append(l.acknowledged[writer], inv)
	}
	return err
}

func (l *load) run(t *testing.T) {
	together(len(l.acknowledged), func(writer int) {
		for {
			select {
			case <-l.stop:
				return
			default:
			}
			err := l.write(t, writer)
			switch {
			case err == nil:
				l.count.Add(1)
			case faas.KindOf(err) != faas.Unavailable:
				l.faults[writer] = err
			}
		}
	})
}

// check compares the acknowledged writes with the contents of Redis.
func (l *load) check(t *testing.T) {
	t.Helper()
	acknowledged := 0
	for writer, invs := range l.acknowledged {
		must(t, l.faults[writer])
		for _, inv := range invs {
			find(t, l.s, inv.ID)
			acknowledged++
		}
	}
	for i := 1; i < len(l.numbers); i++ {
		if l.numbers[i] <= l.numbers[i-1] {
			t.Errorf("number %d after %d", l.numbers[i], l.numbers[i-1])
		}
	}
	all := mustGet[counts](t)(count(t.Context(), l.s))
	if all.All != all.Final || all.Final < int64(acknowledged) || acknowledged == 0 || len(l.numbers) == 0 {
		t.Errorf("%d writes were acknowledged; there are %+v and %d revisions", acknowledged, all, len(l.numbers))
	}
}

// Every acknowledged write survives a kill of Redis, and every error is Unavailable.
func TestWhatWasAcknowledgedSurvivesKills(t *testing.T) {
	redis := testenv.StartRedis(t, "--appendfsync", "always")
	const writers = 8
	l := &load{
		s: server{url: "redis://" + redis.Addr}.store(t), stop: make(chan struct{}),
		acknowledged: make([][]*faas.Invocation, writers), faults: make([]error, writers),
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.run(t)
	}()
	for range 5 {
		enough := l.count.Load() + 200
		testenv.Eventually(t, "200 more writes", func() bool { return l.count.Load() >= enough })
		redis.Kill()
		redis.Start()
	}
	recovered(t, l.s)
	close(l.stop)
	<-done
	l.check(t)
}
