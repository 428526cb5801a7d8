package register_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"davit/internal/faas"
	"davit/internal/testenv"
)

func TestARegistryThatLosesEverythingComesBack(t *testing.T) {
	onEachRedis(t, func(t *testing.T, s *site) {
		g := s.start(t, 0)
		g.put(t, "f", "one")
		g.put(t, "f", "two")
		g.putTrigger(t, "t", "f", "/t")
		before := g.observe(t)

		o, err := redis.ParseURL(s.url)
		if err != nil {
			t.Fatal(err)
		}
		client := redis.NewClient(o)
		t.Cleanup(func() { _ = client.Close() })
		keys, err := client.Keys(t.Context(), "*").Result()
		if err == nil {
			err = client.Del(t.Context(), keys...).Err()
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := g.catalog.Match("GET", "/t"); err != nil || g.live(t, "f") != 2 {
			t.Fatalf("not served while the registry is empty: %v", err)
		}
		g.catalog.Wake()
		testenv.Eventually(t, "the registry is restored", func() bool {
			_, err := g.registry.Snapshot(t.Context())
			return err == nil && g.observe(t) == before
		})
		if rev := g.put(t, "f", "three"); rev.Number != 3 || g.live(t, "f") != 3 {
			t.Fatalf("the next revision is %d", rev.Number)
		}
	})
}

func TestOlderRevisionsAreFound(t *testing.T) {
	g := newEmbeddedSite(t).start(t, 0)
	g.put(t, "f", "one")
	g.put(t, "f", "two")
	for n := faas.RevisionNumber(1); n <= 2; n++ {
		ref := faas.RevisionRef{Function: "f", Number: n}
		if rev, err := g.catalog.Revision(t.Context(), ref); err != nil || rev.Ref() != ref {
			t.Fatalf("revision %+v, %v", rev, err)
		}
	}
	_, err := g.catalog.Revision(t.Context(), faas.RevisionRef{Function: "f", Number: 3})
	wantKind(t, err, faas.NotFound)
	for content, want := range map[string]bool{"one": false, "two": true} {
		if g.catalog.UsesSource(sumOf(tgz(t, content))) != want {
			t.Errorf("source %q: in use is not %v", content, want)
		}
	}
	if f, err := g.catalog.Function("f"); err != nil || f.Live != 2 || f.Latest != 2 {
		t.Fatalf("function %+v, %v", f, err)
	}
}

// Two triggers swap their paths again and again. After each swap another gateway matches each path to its new trigger,
// and readers always find what does not change.
func TestReadersSeeOnlyWholeChanges(t *testing.T) {
	onEachRedis(t, func(t *testing.T, s *site) {
		g, other := s.start(t, 0), s.start(t, 0)
		g.put(t, "f", "one")
		g.putTrigger(t, "fixed", "f", "/fixed")
		var stop atomic.Bool
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				for !stop.Load() {
					if m, err := other.catalog.Match("GET", "/fixed"); err != nil || m.Trigger.Name != "fixed" {
						t.Errorf("match %+v, %v", m, err)
						return
					}
					if _, err := other.catalog.Live("f"); err != nil {
						t.Errorf("live: %v", err)
						return
					}
				}
			})
		}
		for range 4 {
			g.putTrigger(t, "a", "f", "/x")
			g.putTrigger(t, "b", "f", "/y")
			g.putTrigger(t, "a", "f", "/z")
			g.putTrigger(t, "b", "f", "/x")
			g.putTrigger(t, "a", "f", "/y")
			for path, want := range map[string]faas.TriggerName{"/x": "b", "/y": "a"} {
				if m, err := other.catalog.Match("GET", path); err != nil || m.Trigger.Name != want {
					t.Fatalf("%s matches %+v, %v", path, m.Trigger, err)
				}
			}
			if err := other.DeleteTrigger(t.Context(), "a"); err != nil {
				t.Fatal(err)
			}
			if err := other.DeleteTrigger(t.Context(), "b"); err != nil {
				t.Fatal(err)
			}
		}
		stop.Store(true)
		wg.Wait()
	})
}

func noBeat(context.Context, int64) error { return nil }

// fakeRegistry is a registry of triggers that can change between two reads of a catalog.
type fakeRegistry struct {
	registry
	mu       sync.Mutex
	version  int64
	triggers map[faas.TriggerName]*faas.Trigger
	changed  map[int64][]faas.TriggerName // by the version of the change
	onRead   func()
	loads    int
}

func (r *fakeRegistry) set(name faas.TriggerName, path string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.version++
	r.triggers[name] = &faas.Trigger{Name: name, TriggerSpec: faas.TriggerSpec{Methods: []string{"GET"}, Path: path}}
	r.changed[r.version] = append(r.changed[r.version], name)
}

func (r *fakeRegistry) FindTrigger(_ context.Context, name faas.TriggerName) (*faas.Trigger, error) {
	if r.onRead != nil {
		r.onRead()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if t := r.triggers[name]; t != nil {
		return t, nil
	}
	return nil, faas.Errorf(faas.NotFound, "no trigger %q", name)
}

func (r *fakeRegistry) Changes(_ context.Context, since int64) (faas.Changes, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := faas.Changes{Version: r.version}
	for v := since + 1; v <= r.version; v++ {
		c.Triggers = append(c.Triggers, r.changed[v]...)
	}
	return c, nil
}

func (r *fakeRegistry) Snapshot(context.Context) (*faas.Snapshot, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.loads++
	all := &faas.Snapshot{Version: r.version}
	for _, t := range r.triggers {
		all.Triggers = append(all.Triggers, t)
	}
	return all, nil
}

// A path moves from one trigger to another while a catalog reads the first one.
func TestCatalogReadsAgainWhatDoesNotFit(t *testing.T) {
	r := &fakeRegistry{triggers: map[faas.TriggerName]*faas.Trigger{}, changed: map[int64][]faas.TriggerName{}}
	r.set("a", "/a")
	r.set("b", "/b")
	beats := make(chan int64, 100)
	c := newCatalog(r, nil)
	if err := c.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.set("a", "/new")
	var once sync.Once
	r.onRead = func() {
		once.Do(func() { // after the change of a was read, before a is read
			r.set("b", "/other")
			r.set("a", "/b")
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- c.Run(ctx, func(_ context.Context, applied int64) error {
			beats <- applied
			return nil
		})
	}()
	testenv.Eventually(t, "the newest version is served", func() bool { return c.Applied() == 5 })
	for path, want := range map[string]faas.TriggerName{"/b": "a", "/other": "b"} {
		if m, err := c.Match("GET", path); err != nil || m.Trigger.Name != want {
			t.Errorf("%s matches %+v, %v", path, m.Trigger, err)
		}
	}
	if r.loads != 1 {
		t.Errorf("everything was read %d times", r.loads)
	}
	testenv.Eventually(t, "a heartbeat has the newest version", func() bool { return <-beats == 5 })
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestCatalogGoesOnWithWhatItKnows(t *testing.T) {
	r := &fakeRegistry{triggers: map[faas.TriggerName]*faas.Trigger{}, changed: map[int64][]faas.TriggerName{}}
	r.set("a", "/a")
	away := &awayRegistry{fakeRegistry: r}
	c := newCatalog(away, nil)
	if err := c.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx, noBeat) }()
	away.away.Store(true)
	r.set("a", "/b")
	asked := away.asked.Load()
	testenv.Eventually(t, "a read of the changes failed", func() bool { c.Wake(); return away.asked.Load() > asked })
	if _, err := c.Match("GET", "/a"); err != nil {
		t.Fatal(err)
	}
	away.away.Store(false)
	testenv.Eventually(t, "the change is served", func() bool {
		c.Wake()
		_, err := c.Match("GET", "/b")
		return err == nil
	})
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

type awayRegistry struct {
	*fakeRegistry
	away  atomic.Bool
	asked atomic.Int64
}

func (r *awayRegistry) Changes(ctx context.Context, since int64) (faas.Changes, error) {
	r.asked.Add(1)
	if r.away.Load() {
		return faas.Changes{}, errors.New("away")
	}
	return r.fakeRegistry.Changes(ctx, since)
}

func TestManyChangesAreReadAtOnce(t *testing.T) {
	r := &fakeRegistry{triggers: map[faas.TriggerName]*faas.Trigger{}, changed: map[int64][]faas.TriggerName{}}
	c := newCatalog(r, nil)
	for i := range 2000 {
		r.set(faas.TriggerName(fmt.Sprintf("t%d", i)), fmt.Sprintf("/t%d", i))
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx, noBeat) }()
	testenv.Eventually(t, "all changes are served", func() bool { return c.Applied() == 2000 })
	if r.loads != 1 {
		t.Errorf("everything was read %d times", r.loads)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
