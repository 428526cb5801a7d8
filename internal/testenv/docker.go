package testenv

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// DockerServer is a running dockerd without images. It changes nothing in the machine's network: containers have
// loopback only; the daemon itself reaches what the test reaches. Its methods are for the goroutine of the test that
// started it. It needs root.
type DockerServer struct {
	*process

	// Host is its address for clients on this machine, a Unix socket. A restart does not change it.
	Host string
	// TLSHost is its address with TLS, for clients with the certificates in the folder Certs: ca.pem, cert.pem and
	// key.pem.
	TLSHost, Certs string
	// ID is in the names of its cgroups and its folder.
	ID string
}

// dockerDirs is the folder of all DockerServers' folders. Its path is short, because the paths of sockets must be
// short.
const dockerDirs = "/tmp"

// Docker starts a dockerd for this test. When the test ends, it ends with all of its containers, mounts and cgroups.
// Docker also removes those that a killed test has left. A start takes about a second, so let the subtests of one test
// share it.
func Docker(t testing.TB) *DockerServer {
	t.Helper()
	program, err := lookup(os.Getenv, "DAVIT_TEST_DOCKERD", "dockerd", "")
	if err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() != 0 {
		t.Fatal("dockerd needs root: run the tests as root")
	}
	removeDeadDockers(t)
	dir, err := os.MkdirTemp(dockerDirs, fmt.Sprintf("%s%d-", dockerPrefix, os.Getpid())) //nolint:usetesting // its own folder has too long a name for sockets
	if err != nil {
		t.Fatal(err)
	}
	// Runs after the end of the process, which open has registered.
	t.Cleanup(func() {
		if err := removeDocker(dir); err != nil {
			t.Errorf("remove what dockerd left: %v", err)
		}
	})
	d := &DockerServer{Host: "unix://" + filepath.Join(dir, "docker.sock"), Certs: filepath.Join(dir, "certs"), ID: filepath.Base(dir)}
	if err := writeCertificates(d.Certs); err != nil {
		t.Fatal(err)
	}
	settings := filepath.Join(dir, "daemon.json") // instead of the settings of this machine's own dockerd
	if err := os.WriteFile(settings, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.process = &process{
		t: t, name: "dockerd", program: program, dir: dir, env: append(os.Environ(), "PATH="+dockerPath()),
		ready: d.ping,
		args: func(host, port string) []string {
			return []string{
				"--config-file", settings, "--data-root", filepath.Join(dir, "data"), "--exec-root", filepath.Join(dir, "exec"),
				"--pidfile", filepath.Join(dir, "pid"), "--host", d.Host, "--host", "tcp://" + net.JoinHostPort(host, port),
				"--tlsverify", "--tlscacert", filepath.Join(d.Certs, "ca.pem"),
				"--tlscert", filepath.Join(d.Certs, "server-cert.pem"), "--tlskey", filepath.Join(d.Certs, "server-key.pem"),
				"--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--userland-proxy=false",
				"--cgroup-parent", "/" + d.ID, "--shutdown-timeout=1",
			}
		},
	}
	d.open()
	d.TLSHost = "tcp://" + d.addr
	return d
}

// Kill ends the daemon, containerd and all containers without warning, as the end of a pod does.
func (d *DockerServer) Kill() {
	d.t.Helper()
	d.process.Kill()
	if err := endProcessesOf(d.dir); err != nil {
		d.t.Fatalf("kill dockerd: %v", err)
	}
	// Because a zombie would count as the running daemon.
	for _, name := range []string{"pid", "exec/containerd/containerd.pid"} {
		if err := os.Remove(filepath.Join(d.dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			d.t.Fatalf("kill dockerd: %v", err)
		}
	}
}

// dockerPath returns a PATH with sbin, where containerd and runc are.
func dockerPath() string { return os.Getenv("PATH") + ":/usr/sbin:/sbin" }

func (d *DockerServer) client() *http.Client {
	path := strings.TrimPrefix(d.Host, "unix://")
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
	}}
}

func (d *DockerServer) ping(ctx context.Context, _ string) error {
	_, err := d.do(ctx, http.MethodGet, "/_ping", nil)
	return err
}

// do sends a request to the daemon's API and returns the answer's body.
func (d *DockerServer) do(ctx context.Context, method, path string, body io.Reader) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://docker"+path, body)
	if err != nil {
		return nil, err
	}
	response, err := d.client().Do(request)
	if err != nil {
		return nil, err
	}
	answer, err := io.ReadAll(response.Body)
	if err = errors.Join(err, response.Body.Close()); err != nil {
		return nil, err
	}
	if response.StatusCode >= http.StatusBadRequest || bytes.Contains(answer, []byte(`"errorDetail"`)) {
		return nil, fmt.Errorf("%s %s was answered %s: %s", method, path, response.Status, answer)
	}
	return answer, nil
}

// Import makes an image with the name ("base:1") that has only busybox: /bin/sh and all applets. changes are Dockerfile
// instructions for its configuration, such as `ENTRYPOINT ["echo"]`.
func (d *DockerServer) Import(name string, changes ...string) {
	d.t.Helper()
	root, err := busyboxRoot(d.t.Context())
	if err != nil {
		d.t.Fatal(err)
	}
	repo, tag, _ := strings.Cut(name, ":")
	query := url.Values{"fromSrc": {"-"}, "repo": {repo}, "tag": {tag}, "changes": changes}
	if _, err := d.do(d.t.Context(), http.MethodPost, "/images/create?"+query.Encode(), bytes.NewReader(root)); err != nil {
		d.t.Fatalf("import %s: %v", name, err)
	}
}

// busyboxRoot returns a root file system with busybox as a tar archive.
func busyboxRoot(ctx context.Context) ([]byte, error) {
	program, err := lookup(os.Getenv, "DAVIT_TEST_BUSYBOX", "busybox", "")
	if err != nil {
		return nil, err
	}
	binary, err := os.ReadFile(program)
	if err != nil {
		return nil, err
	}
	applets, err := exec.CommandContext(ctx, program, "--list").Output()
	if err != nil {
		return nil, fmt.Errorf("list the applets of %s: %w", program, err)
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	add := func(h tar.Header, content string) {
		h.Size = int64(len(content))
		err = errors.Join(err, w.WriteHeader(&h))
		_, e := io.WriteString(w, content)
		err = errors.Join(err, e)
	}
	for _, dir := range []string{"bin/", "dev/", "etc/", "proc/", "sys/"} {
		add(tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755}, "")
	}
	add(tar.Header{Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o1777}, "")
	add(tar.Header{Typeflag: tar.TypeReg, Name: "etc/passwd", Mode: 0o644}, "root:x:0:0:root:/:/bin/sh\n")
	add(tar.Header{Typeflag: tar.TypeReg, Name: "bin/busybox", Mode: 0o755}, string(binary))
	for _, applet := range strings.Fields(string(applets)) {
		if applet != "busybox" {
			add(tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/" + applet, Linkname: "busybox"}, "")
		}
	}
	return b.Bytes(), errors.Join(err, w.Close())
}
