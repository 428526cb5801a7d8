package register_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"davit/gateway/register"
	"davit/internal/blob"
	"davit/internal/faas"
)

// registry has the four stores of a catalog and a service. *redisstore.Store is one.
type registry interface {
	register.RevisionStore
	register.FunctionStore
	register.TriggerStore
	register.VersionStore
}

func newCatalog(r registry, log *slog.Logger) *register.Catalog {
	return register.NewCatalog(register.CatalogOptions{Revisions: r, Functions: r, Triggers: r, Versions: r, Log: log})
}

var errKilled = &faas.Error{Kind: faas.Unavailable, Detail: "this gateway was killed"}

// mortal counts the writes of one gateway, which dies at one of them: that write takes effect, later ones do not, and
// the gateway gets an error for all of them.
type mortal struct {
	registry
	register.Objects
	writes atomic.Int64
	dieAt  int64 // 0: never
	dead   chan struct{}
	once   sync.Once
}

func (m *mortal) write(do func() error) error {
	n := m.writes.Add(1)
	if m.dieAt == 0 || n < m.dieAt {
		if m.isDead() {
			return errKilled
		}
		return do()
	}
	if n == m.dieAt {
		_ = do()
	}
	m.kill()
	return errKilled
}

func (m *mortal) kill() { m.once.Do(func() { close(m.dead) }) }

func (m *mortal) isDead() bool {
	select {
	case <-m.dead:
		return true
	default:
		return false
	}
}

func (m *mortal) Put(ctx context.Context, key blob.Key, r io.Reader, size int64, o blob.PutOptions) (info blob.Info, err error) {
	err = m.write(func() (err error) { info, err = m.Objects.Put(ctx, key, r, size, o); return err })
	return info, err
}

func (m *mortal) Delete(ctx context.Context, key blob.Key) error {
	return m.write(func() error { return m.Objects.Delete(ctx, key) })
}

func (m *mortal) List(ctx context.Context, prefix string, after blob.Key) iter.Seq2[blob.Info, error] {
	return m.Objects.List(ctx, prefix, after)
}

func (m *mortal) AddRevision(ctx context.Context, name faas.FunctionName, spec faas.FunctionSpec, at time.Time) (rev *faas.Revision, created bool, err error) {
	err = m.write(func() (err error) { rev, created, err = m.registry.AddRevision(ctx, name, spec, at); return err })
	return rev, created, err
}

func (m *mortal) SaveRevision(ctx context.Context, rev *faas.Revision) (v int64, err error) {
	err = m.write(func() (err error) { v, err = m.registry.SaveRevision(ctx, rev); return err })
	return v, err
}

func (m *mortal) Rollback(ctx context.Context, name faas.FunctionName, n faas.RevisionNumber) (v int64, err error) {
	err = m.write(func() (err error) { v, err = m.registry.Rollback(ctx, name, n); return err })
	return v, err
}

func (m *mortal) DeleteFunction(ctx context.Context, name faas.FunctionName, with bool) (v int64, err error) {
	err = m.write(func() (err error) { v, err = m.registry.DeleteFunction(ctx, name, with); return err })
	return v, err
}

func (m *mortal) SaveTrigger(ctx context.Context, t *faas.Trigger, slots []string) (created bool, v int64, err error) {
	err = m.write(func() (err error) { created, v, err = m.registry.SaveTrigger(ctx, t, slots); return err })
	return created, v, err
}

func (m *mortal) DeleteTrigger(ctx context.Context, name faas.TriggerName) (v int64, err error) {
	err = m.write(func() (err error) { v, err = m.registry.DeleteTrigger(ctx, name); return err })
	return v, err
}

// state describes the registrations, so that they can be compared.
type state string

// observe returns the registered functions with their live sources, and the triggers with path and function.
func (g *gateway) observe(t *testing.T) state {
	t.Helper()
	all, err := g.registry.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range all.Functions {
		sum := "nothing"
		if f.Live > 0 {
			rev, err := g.registry.FindRevision(t.Context(), faas.RevisionRef{Function: f.Name, Number: f.Live})
			if err != nil {
				t.Fatal(err)
			}
			sum = rev.SourceSum[:6]
		}
		out = append(out, fmt.Sprintf("%s=%s", f.Name, sum))
	}
	for _, trigger := range all.Triggers {
		out = append(out, fmt.Sprintf("%s:%s→%s", trigger.Name, trigger.Path, trigger.Function))
	}
	slices.Sort(out)
	return state(strings.Join(out, " "))
}

// building returns how many revisions in the object store are in state building.
func (g *gateway) building(t *testing.T) int {
	t.Helper()
	n := 0
	for _, key := range g.keys(t, "functions/") {
		if !strings.HasSuffix(key, "/revision.json") {
			continue
		}
		r, _, err := g.objects.Get(t.Context(), blob.Key(key), 0, -1)
		if errors.Is(err, blob.ErrNotFound) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b, []byte(`"state":"building"`)) {
			n++
		}
	}
	return n
}
