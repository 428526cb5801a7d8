package api

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"davit/internal/faas"
)

// fakeSecrets keep values in memory.
type fakeSecrets struct {
	mu     sync.Mutex
	values map[faas.SecretName]string
}

func newFakeSecrets() *fakeSecrets { return &fakeSecrets{values: map[faas.SecretName]string{}} }

func (f *fakeSecrets) Put(_ context.Context, name faas.SecretName, value string) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if value == "" {
		return false, faas.Errorf(faas.NotAllowed, "it is empty")
	}
	_, there := f.values[name]
	f.values[name] = value
	return !there, nil
}

func (f *fakeSecrets) Find(_ context.Context, name faas.SecretName) (*faas.Secret, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, there := f.values[name]; !there {
		return nil, faas.Errorf(faas.NotFound, "there is no secret %q", name)
	}
	return &faas.Secret{Name: name, UpdatedAt: time.Unix(1, 0).UTC()}, nil
}

func (f *fakeSecrets) List(_ context.Context, limit int, _ string) ([]*faas.Secret, string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var items []*faas.Secret
	for _, name := range slices.Sorted(maps.Keys(f.values)) {
		if len(items) == limit {
			return items, string(items[limit-1].Name), nil
		}
		items = append(items, &faas.Secret{Name: name, UpdatedAt: time.Unix(1, 0).UTC()})
	}
	return items, "", nil
}

func (f *fakeSecrets) Delete(_ context.Context, name faas.SecretName) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.values[name] == "in use" {
		return faas.Errorf(faas.Conflict, "secret %q is named by function \"f\"", name)
	}
	delete(f.values, name)
	return nil
}

// TestSecrets: values are put and replaced, and nothing tells them.
func TestSecrets(t *testing.T) {
	u := startConsole(t, Limits{})
	put := func(name, body string) *answer {
		return u.as("PUT", "/v1/secrets/"+name, strings.NewReader(body), "Content-Type", "application/json")
	}
	for _, step := range []struct {
		got    *answer
		status int
	}{
		{put("API_KEY", `{"value": "hush"}`), 201},
		{put("API_KEY", `{"value": "hush, too"}`), 200},
		{put("registry-login", `{"value": "in use"}`), 201},
		{u.as("GET", "/v1/secrets/API_KEY", nil), 200},
		{u.as("GET", "/v1/secrets", nil), 200},
		{u.as("GET", "/v1/secrets?limit=1", nil), 200},
	} {
		if step.got.StatusCode != step.status || strings.Contains(string(step.got.body), "hush") || strings.Contains(string(step.got.body), "in use") {
			t.Errorf("%d %s, want %d", step.got.StatusCode, step.got.body, step.status)
		}
	}
	var all list[faas.Secret]
	u.as("GET", "/v1/secrets?limit=1", nil).decode(t, &all)
	if len(all.Items) != 1 || all.Items[0].Name != "API_KEY" || all.Next == nil {
		t.Errorf("%+v", all)
	}
	put("API_KEY", `{"value": ""}`).wantProblem(t, 422, faas.NotAllowed)
	put("API_KEY", `{"valeu": "x"}`).wantProblem(t, 400, faas.Invalid)
	put("API_KEY", `{"value": 3}`).wantProblem(t, 400, faas.Invalid)
	put("LD_PRELOAD", `{"value": "x"}`).wantProblem(t, 422, faas.NotAllowed)
	put("a.b", `{"value": "x"}`).wantProblem(t, 422, faas.NotAllowed)
	u.as("DELETE", "/v1/secrets/registry-login", nil).wantProblem(t, 409, faas.Conflict)
	if got := u.as("DELETE", "/v1/secrets/API_KEY", nil); got.StatusCode != 204 {
		t.Errorf("deleted: %d", got.StatusCode)
	}
	u.as("GET", "/v1/secrets/API_KEY", nil).wantProblem(t, 404, faas.NotFound)
	u.do("GET", "/v1/secrets", nil).wantProblem(t, 401, faas.Unauthorized)
}
