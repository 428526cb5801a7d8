package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSecrets: commands get the values, and neither the API nor any file contains them.
func TestSecrets(t *testing.T) {
	const value = "a-value-that-is-long-enough-to-find"
	w := newWorld(t)
	g := w.start("data")
	refused := register(t, g, "f", `{"secrets": ["API_KEY"]}`, tool("true"))
	status(t, refused, http.StatusUnprocessableEntity)
	if !strings.Contains(string(refused.Body), "PUT /v1/secrets/API_KEY first") {
		t.Errorf("refused: %s", refused.Body)
	}
	status(t, admin(t, g, http.MethodPut, "/v1/secrets/API_KEY", `{"value": "`+value+`"}`), http.StatusCreated)
	for mode, spec := range modes {
		spec = strings.TrimSuffix(spec, "}") + `, "secrets": ["API_KEY"]}`
		function(t, g, mode, spec, tool(`echo "$API_KEY" | md5sum > out.txt`))
		trigger(t, g, mode, `{"function": "`+mode+`", "methods": ["GET"], "path": "/`+mode+`", "command": ["sh", "tool.sh"], "results": ["*.txt"], "response": "file"}`)
		a := get(t, g, "/"+mode, nil)
		status(t, a, http.StatusOK)
		if want := "eb3d8f16d17409f7"; !strings.HasPrefix(string(a.Body), want) {
			t.Errorf("%s: %s", mode, a.Body)
		}
	}
	for _, path := range []string{"/v1/secrets", "/v1/secrets/API_KEY", "/v1/functions/job"} {
		if a := admin(t, g, http.MethodGet, path, ""); a.Status != http.StatusOK || strings.Contains(string(a.Body), value) {
			t.Errorf("%s: %d %s", path, a.Status, a.Body)
		}
	}
	status(t, admin(t, g, http.MethodDelete, "/v1/secrets/API_KEY", ""), http.StatusConflict)
	err := filepath.Walk(w.dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || !info.Mode().IsRegular() {
			return nil //nolint:nilerr // the entry was removed meanwhile
		}
		b, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(b), value) {
			t.Errorf("%s contains the value", path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
