package vault

import (
	"bytes"
	"context"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"davit/internal/blob"
	"davit/internal/faas"
)

var errUnavailable = errors.New("unavailable")

// published is a Publisher that keeps the values.
type published struct {
	values map[string]string
	err    error
}

func (p *published) PutValue(_ context.Context, name, value string) error {
	if p.err == nil {
		p.values[name] = value
	}
	return p.err
}

func (p *published) RemoveValue(_ context.Context, name string) error {
	if p.err == nil {
		delete(p.values, name)
	}
	return p.err
}

// brokenStore is a store whose Put fails with err, if that is set.
type brokenStore struct {
	blob.Store

	err error
}

func (b *brokenStore) Put(ctx context.Context, key blob.Key, r io.Reader, size int64, o blob.PutOptions) (blob.Info, error) {
	if b.err != nil {
		return blob.Info{}, b.err
	}
	return b.Store.Put(ctx, key, r, size, o)
}

type bench struct {
	*Vault

	store *brokenStore
	at    *published
	users []faas.FunctionName
}

func newBench(t *testing.T) *bench {
	t.Helper()
	secret := bytes.Repeat([]byte("s"), 32)
	folder, err := blob.NewFolder(t.TempDir(), blob.FolderOptions{Secret: secret, Now: time.Now})
	must(t, err)
	t.Cleanup(func() { _ = folder.Close() })
	b := &bench{store: &brokenStore{Store: folder}, at: &published{values: map[string]string{}}}
	b.Vault, err = New(Options{
		Objects: b.store, Secret: secret, Publisher: b.at,
		Users: func(faas.SecretName) []faas.FunctionName { return b.users },
	})
	must(t, err)
	return b
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestVault(t *testing.T) {
	b := newBench(t)
	for name, values := range map[faas.SecretName][]string{"API_KEY": {"hush", "hush, too"}, "API_KEY_2": {"other"}, "login": {"me:pass"}} {
		for i, value := range values {
			created, err := b.Put(t.Context(), name, value)
			must(t, err)
			got, err := b.Value(t.Context(), string(name))
			must(t, err)
			if created != (i == 0) || got != value || b.at.values[string(name)] != value {
				t.Errorf("%s: created %v, value %q, published %q", name, created, got, b.at.values[string(name)])
			}
		}
	}
	missing, err := b.Missing(t.Context(), []string{"API_KEY", "API", "login", "nothing"})
	must(t, err)
	if want := []string{"API", "nothing"}; !reflect.DeepEqual(missing, want) {
		t.Errorf("missing %q, want %q", missing, want)
	}
	var names []faas.SecretName
	for cursor, first := "", true; first || cursor != ""; first = false {
		items, next, err := b.List(t.Context(), 2, cursor)
		must(t, err)
		for _, s := range items {
			names = append(names, s.Name)
			if s.UpdatedAt.IsZero() {
				t.Errorf("%s was never changed", s.Name)
			}
		}
		cursor = next
	}
	if want := []faas.SecretName{"API_KEY", "API_KEY_2", "login"}; !reflect.DeepEqual(names, want) {
		t.Errorf("listed %q, want %q", names, want)
	}
	b.users = []faas.FunctionName{"f", "g"}
	if err := b.Delete(t.Context(), "API_KEY"); faas.KindOf(err) != faas.Conflict || !strings.Contains(err.Error(), `function "g"`) {
		t.Errorf("deleted while it is in use: %v", err)
	}
	b.users = nil
	must(t, b.Delete(t.Context(), "API_KEY"))
	if _, there := b.at.values["API_KEY"]; there {
		t.Error("the deleted secret is still published")
	}
	for _, err := range []error{b.Delete(t.Context(), "API_KEY"), second(b.Find(t.Context(), "API_KEY"))} {
		if faas.KindOf(err) != faas.NotFound {
			t.Errorf("gone: %v", err)
		}
	}
	if _, err := b.Value(t.Context(), "API_KEY"); faas.KindOf(err) != faas.BuildFailed {
		t.Errorf("the value of a deleted secret: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestRefused(t *testing.T) {
	b := newBench(t)
	for name, value := range map[faas.SecretName]string{
		"": "x", "PATH": "x", "DAVIT_TOKEN": "x", "a.b": "x", "../x": "x", "EMPTY": "", "NUL": "a\x00b", "LONG": strings.Repeat("x", faas.MaxSecretBytes+1),
	} {
		if _, err := b.Put(t.Context(), name, value); faas.KindOf(err) != faas.NotAllowed {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, _, err := b.List(t.Context(), 1, "../x"); faas.KindOf(err) != faas.Invalid {
		t.Errorf("a cursor that no list returned: %v", err)
	}
}

// TestHalfDone shows that a secret that could not be published to the cluster does not exist, so that no function can
// name it.
func TestHalfDone(t *testing.T) {
	b := newBench(t)
	b.at.err = errUnavailable
	if _, err := b.Put(t.Context(), "API_KEY", "hush"); faas.KindOf(err) != faas.Unavailable {
		t.Errorf("%v", err)
	}
	if _, err := b.Find(t.Context(), "API_KEY"); faas.KindOf(err) != faas.NotFound {
		t.Errorf("%v", err)
	}
	b.at.err = nil
	_, err := b.Put(t.Context(), "API_KEY", "hush")
	must(t, err)
	b.store.err = blob.ErrUnavailable
	if _, err := b.Put(t.Context(), "API_KEY", "newer"); faas.KindOf(err) != faas.Unavailable || b.at.values["API_KEY"] != "hush" {
		t.Errorf("%v, %q", err, b.at.values)
	}
	b.at.err = errUnavailable
	if err := b.Delete(t.Context(), "API_KEY"); faas.KindOf(err) != faas.Unavailable {
		t.Errorf("%v", err)
	}
	if _, err := b.Find(t.Context(), "API_KEY"); err != nil {
		t.Errorf("the store has removed it and the cluster has not: %v", err)
	}
}

// TestSealed shows that the object does not contain the value, and can be read with its own name and key only.
func TestSealed(t *testing.T) {
	b := newBench(t)
	_, err := b.Put(t.Context(), "API_KEY", "a value that is long enough to find")
	must(t, err)
	r, _, err := b.store.Get(t.Context(), keyOf("API_KEY"), 0, -1)
	must(t, err)
	sealed, err := io.ReadAll(r)
	must(t, err)
	must(t, r.Close())
	if bytes.Contains(sealed, []byte("long enough")) {
		t.Error("the value is in the store in clear text")
	}
	_, err = b.store.Put(t.Context(), keyOf("OTHER"), bytes.NewReader(sealed), int64(len(sealed)), blob.PutOptions{})
	must(t, err)
	if value, err := b.Value(t.Context(), "OTHER"); err == nil {
		t.Errorf("under another name it reads %q", value)
	}
	another, err := New(Options{Objects: b.store, Secret: []byte("another installation's secret…")})
	must(t, err)
	if value, err := another.Value(t.Context(), "API_KEY"); err == nil || !strings.Contains(err.Error(), "put it again") {
		t.Errorf("with another key: %q, %v", value, err)
	}
	for _, bad := range [][]byte{nil, {format}, sealed[:len(sealed)-1], append([]byte{2}, sealed[1:]...)} {
		if _, err := open(b.key, "API_KEY", bad); err == nil {
			t.Errorf("%d bytes opened", len(bad))
		}
	}
}
