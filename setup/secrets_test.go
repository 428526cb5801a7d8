package setup

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// server is an API server with Secrets only.
type server struct {
	mu      sync.Mutex
	secrets map[string]map[string][]byte // by namespace/name
	broken  int                          // requests that are answered 503 first
	refuse  bool                         // every request
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken > 0 {
		s.broken--
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if s.refuse || r.Header.Get("Authorization") != "Bearer the-token" {
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `{"kind": "Status", "message": "secrets is forbidden"}`)
		return
	}
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/api/v1/namespaces/"), "/")
	var in secret
	switch {
	case r.Method == http.MethodGet && len(parts) == 3:
		data, there := s.secrets[parts[0]+"/"+parts[2]]
		if !there {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_ = json.NewEncoder(w).Encode(secret{Data: data})
	case r.Method == http.MethodPost && len(parts) == 2 && json.NewDecoder(r.Body).Decode(&in) == nil && in.Kind == "Secret":
		key := parts[0] + "/" + in.Metadata.Name
		if _, there := s.secrets[key]; there {
			w.WriteHeader(http.StatusConflict)
			return
		}
		s.secrets[key] = in.Data
		w.WriteHeader(http.StatusCreated)
	default:
		w.WriteHeader(http.StatusBadRequest)
	}
}

// start serves s and returns a maker with the credentials of a pod in its cluster.
func start(t *testing.T, s *server) *maker {
	t.Helper()
	listening := httptest.NewTLSServer(s)
	t.Cleanup(listening.Close)
	dir := t.TempDir()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: listening.Certificate().Raw})
	for name, text := range map[string]string{"token": "the-token\n", "ca.crt": string(ca)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	host, port, err := net.SplitHostPort(listening.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}
	api, err := inCluster(func(name string) string { return env[name] }, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(api.http.CloseIdleConnections)
	return &maker{api: api, log: discard(), now: time.Now, namespace: "davit", builder: "davit-builder"}
}

func all(t *testing.T) []group {
	t.Helper()
	groups, err := parseGroups(strings.Join(allGroups(), ","))
	if err != nil {
		t.Fatal(err)
	}
	return groups
}

// TestSecretsAreMadeOnce: a run makes all secrets, of enough bytes, and a second run changes nothing.
func TestSecretsAreMadeOnce(t *testing.T) {
	s := &server{secrets: map[string]map[string][]byte{}, broken: 1}
	m := start(t, s)
	if err := m.run(t.Context(), all(t)); err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{
		"davit/davit-admin":           {"token"},
		"davit/davit-redis":           {"password", "redis.conf", "url"},
		"davit/davit-store-root":      {"access-key", "secret-key"},
		"davit/davit-store":           {"access-key", "secret-key"},
		"davit/davit-store-download":  {"access-key", "secret-key"},
		"davit/davit-docker-ca":       {"cert.pem", "key.pem"},
		"davit/davit-docker-client":   {"ca.pem", "cert.pem", "key.pem"},
		"davit-builder/davit-dockerd": {"ca.pem", "cert.pem", "key.pem"},
	}
	before := map[string]map[string][]byte{}
	seen := map[string]string{}
	for name, data := range s.secrets {
		before[name] = data
		for _, file := range want[name] {
			value := string(data[file])
			if len(value) < 20 {
				t.Errorf("%s: %s has only %d bytes", name, file, len(value))
			}
			if file == fileCA {
				continue // the authority's certificate, which each of its secrets has
			}
			if other := seen[value]; other != "" {
				t.Errorf("%s: %s is the same as %s", name, file, other)
			}
			seen[value] = name + " " + file
		}
		if len(data) != len(want[name]) {
			t.Errorf("%s has %d files, want %v", name, len(data), want[name])
		}
	}
	if len(s.secrets) != len(want) {
		t.Errorf("%d secrets, want %d", len(s.secrets), len(want))
	}
	redis := s.secrets["davit/davit-redis"]
	if got, want := string(redis["url"]), "redis://:"+string(redis["password"])+"@davit-redis.davit.svc:6379/0"; got != want {
		t.Errorf("the URL is %s, want %s", got, want)
	}
	if err := m.run(t.Context(), all(t)); err != nil {
		t.Fatal(err)
	}
	for name, data := range s.secrets {
		for file, value := range data {
			if !bytes.Equal(value, before[name][file]) {
				t.Errorf("the second run changed %s of %s", file, name)
			}
		}
	}
}

// TestGroups: only the secrets of the named groups are made, and an unknown group is refused.
func TestGroups(t *testing.T) {
	s := &server{secrets: map[string]map[string][]byte{}}
	if err := start(t, s).run(t.Context(), []group{groupAdmin, groupDocker}); err != nil {
		t.Fatal(err)
	}
	var names []string
	for name := range s.secrets {
		names = append(names, name)
	}
	slices.Sort(names)
	if want := []string{"davit-builder/davit-dockerd", "davit/davit-admin", "davit/davit-docker-ca", "davit/davit-docker-client"}; !slices.Equal(names, want) {
		t.Errorf("made %v, want %v", names, want)
	}
	if _, err := parseGroups("admin,all"); err == nil {
		t.Error("a group that there is not was taken")
	}
}

// TestCertificatesOfTwoRunsFit: an interrupted run can be continued; daemon and client trust only each other.
func TestCertificatesOfTwoRunsFit(t *testing.T) {
	s := &server{secrets: map[string]map[string][]byte{}}
	m := start(t, s)
	if err := m.run(t.Context(), []group{groupDocker}); err != nil {
		t.Fatal(err)
	}
	delete(s.secrets, "davit/davit-docker-client")
	if err := m.run(t.Context(), []group{groupDocker}); err != nil {
		t.Fatal(err)
	}
	daemon, client := s.secrets["davit-builder/davit-dockerd"], s.secrets["davit/davit-docker-client"]
	if err := shakeHands(t, daemon, client, "davit-dockerd.davit-builder.svc"); err != nil {
		t.Errorf("the gateway and the daemon: %v", err)
	}
	if err := shakeHands(t, client, client, "davit-dockerd.davit-builder.svc"); err == nil {
		t.Error("the gateway's certificate passes for the daemon's")
	}
	if err := shakeHands(t, daemon, daemon, "davit-dockerd.davit-builder.svc"); err == nil {
		t.Error("the daemon's certificate passes for a client's")
	}
	other := &server{secrets: map[string]map[string][]byte{}}
	if err := start(t, other).run(t.Context(), []group{groupDocker}); err != nil {
		t.Fatal(err)
	}
	if err := shakeHands(t, daemon, other.secrets["davit/davit-docker-client"], "davit-dockerd.davit-builder.svc"); err == nil {
		t.Error("the client of another installation gets in")
	}
}

// shakeHands connects a TLS client to a server, each with these files, and returns nil if both accept.
func shakeHands(t *testing.T, server, client map[string][]byte, name string) error {
	t.Helper()
	config := func(files map[string][]byte) *tls.Config {
		pair, err := tls.X509KeyPair(files[fileCert], files[fileKey])
		if err != nil {
			t.Fatal(err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(files[fileCA]) {
			t.Fatal("no authority")
		}
		return &tls.Config{
			Certificates: []tls.Certificate{pair}, ClientCAs: pool, RootCAs: pool, ServerName: name,
			ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13,
		}
	}
	left, right := net.Pipe()
	served := make(chan error, 1)
	go func() {
		conn := tls.Server(left, config(server))
		err := conn.HandshakeContext(t.Context())
		if err == nil {
			_, err = conn.Write([]byte("x"))
		}
		served <- err
		_ = left.Close()
	}()
	conn := tls.Client(right, config(client))
	_, err := io.ReadAll(io.LimitReader(conn, 1))
	_ = right.Close()
	if serverErr := <-served; err == nil {
		err = serverErr
	}
	return err
}

// TestRefusalsAreFinal: an answer that forbids is an error at once; a server that is unavailable is tried again.
func TestRefusalsAreFinal(t *testing.T) {
	err := start(t, &server{refuse: true}).run(t.Context(), all(t))
	if err == nil || !strings.Contains(err.Error(), "secrets is forbidden") || !strings.Contains(err.Error(), "davit/davit-admin") {
		t.Errorf("told %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := start(t, &server{broken: 1000}).run(ctx, all(t)); err == nil {
		t.Error("an API server that is away was not noticed")
	}
}

// TestCommandLine: a wrong command, flag, group or environment is an error that names it.
func TestCommandLine(t *testing.T) {
	for _, test := range []struct{ args, want string }{
		{"", "usage"},
		{"secret", "is not a command"},
		{"secrets extra", "no argument"},
		{"secrets -groups all", "none of"},
		{"secrets", "does not run in a cluster"},
		{"store -root /nowhere", "read a key"},
		{"store -nonsense", "not defined"},
	} {
		var out bytes.Buffer
		err := run(t.Context(), strings.Fields(test.args), func(string) string { return "" }, &out, io.Discard)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("davit-setup %s: %v, want %q", test.args, err, test.want)
		}
	}
	var out bytes.Buffer
	if err := run(t.Context(), []string{"policies", "-bucket", "mine"}, nil, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "arn:aws:s3:::mine/invocations/*") {
		t.Errorf("the policies are %s", &out)
	}
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
