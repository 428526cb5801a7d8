package testenv

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

// RegistryServer is a running, empty image registry without TLS that allows the deletion of manifests. Its methods are
// for the goroutine of the test that started it.
type RegistryServer struct {
	*process

	// Addr is its host:port. A restart does not change it.
	Addr string
	// User and Password are its login; "" if it needs none.
	User, Password string
}

// Registry starts a registry without a login for this test. It ends with the test.
func Registry(t testing.TB) *RegistryServer {
	t.Helper()
	return startRegistry(t, "", "")
}

// PrivateRegistry starts a registry with a login for this test. It ends with the test.
func PrivateRegistry(t testing.TB) *RegistryServer {
	t.Helper()
	return startRegistry(t, "davit-test", "davit-test-secret")
}

func startRegistry(t testing.TB, user, password string) *RegistryServer {
	t.Helper()
	program, err := lookup(os.Getenv, "DAVIT_TEST_REGISTRY", "registry", registryVersion)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	auth := ""
	if user != "" {
		hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		users := filepath.Join(dir, "htpasswd")
		if err := os.WriteFile(users, []byte(user+":"+string(hash)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		auth = fmt.Sprintf("auth: {htpasswd: {realm: test, path: %q}}\n", users)
	}
	settings := filepath.Join(dir, "registry.yml")
	p := &process{t: t, name: "registry", program: program, dir: dir, env: os.Environ(), ready: registryReady}
	p.args = func(host, port string) []string {
		text := fmt.Sprintf("version: 0.1\nlog: {level: warn}\nstorage:\n  filesystem: {rootdirectory: %q}\n  delete: {enabled: true}\nhttp: {addr: %q}\n%s",
			filepath.Join(dir, "data"), net.JoinHostPort(host, port), auth)
		if err := os.WriteFile(settings, []byte(text), 0o600); err != nil {
			t.Error(err)
		}
		return []string{"serve", settings}
	}
	p.open()
	return &RegistryServer{process: p, Addr: p.addr, User: user, Password: password}
}

// registryReady returns nil if the server answers, also if it requires a login.
func registryReady(ctx context.Context, addr string) error {
	return healthy(ctx, "http://"+addr+"/v2/", http.StatusOK, http.StatusUnauthorized)
}
