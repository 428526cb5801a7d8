//go:build all

package testenv

import (
	"archive/tar"
	"bytes"
	"crypto/tls"
	"net/http"
	"os"
	"strings"
	"testing"
)

// hanging returns the source of a build that runs until it is killed.
func hanging(t *testing.T) []byte {
	t.Helper()
	const text = "FROM base:1\nRUN sleep 1000000\n"
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: "Dockerfile", Mode: 0o644, Size: int64(len(text))}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestDockerLeavesNothing(t *testing.T) {
	var dir string
	t.Run("killed in a build", func(t *testing.T) {
		d := Docker(t)
		dir = d.dir
		d.Import("base:1")
		built := make(chan error, 1)
		go func() {
			_, err := d.do(t.Context(), http.MethodPost, "/build", bytes.NewReader(hanging(t)))
			built <- err
		}()
		Eventually(t, "the build runs", func() bool {
			answer, err := d.do(t.Context(), http.MethodGet, "/containers/json", nil)
			return err == nil && strings.Contains(string(answer), `"running"`)
		})
		d.Kill()
		if err := <-built; err == nil {
			t.Error("the build succeeded although dockerd was killed")
		}
		d.Start()
		if answer, err := d.do(t.Context(), http.MethodGet, "/images/base:1/json", nil); err != nil {
			t.Errorf("the image is gone after a restart: %v, %s", err, answer)
		}
	})
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	pids, err := processesOf(dir)
	if err != nil || len(pids) > 0 {
		t.Errorf("processes are left: %v, %v", pids, err)
	}
	if _, err := os.Stat(dir); err == nil || strings.Contains(string(mounts), dir) || len(cgroupsOf(strings.TrimPrefix(dir, dockerDirs+"/"))) > 0 {
		t.Errorf("files, mounts or cgroups are left of %s", dir)
	}
}

func TestDockerWithTLS(t *testing.T) {
	d := Docker(t)
	pair, err := tls.LoadX509KeyPair(d.Certs+"/cert.pem", d.Certs+"/key.pem")
	if err != nil {
		t.Fatal(err)
	}
	for name, config := range map[string]*tls.Config{
		"with the client's certificate": {Certificates: []tls.Certificate{pair}, InsecureSkipVerify: true},
		"without":                       {InsecureSkipVerify: true},
	} {
		client := http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, strings.Replace(d.TLSHost, "tcp", "https", 1)+"/_ping", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Do(request)
		if err == nil {
			_ = response.Body.Close()
		}
		if (err == nil) != (config.Certificates != nil) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestPrivateRegistryAsksForALogin(t *testing.T) {
	r := PrivateRegistry(t)
	for password, want := range map[string]int{"": http.StatusUnauthorized, "wrong": http.StatusUnauthorized, r.Password: http.StatusOK} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+r.Addr+"/v2/", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		request.SetBasicAuth(r.User, password)
		request.Close = true
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("password %q: got %s", password, response.Status)
		}
	}
}
