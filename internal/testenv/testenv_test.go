package testenv

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

func TestLookup(t *testing.T) {
	bin, cache := t.TempDir(), t.TempDir()
	onPath := program(t, bin, "on-path")
	cached := program(t, filepath.Join(cache, "cached@v1"), "cached")
	plain := filepath.Join(bin, "plain")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin)

	cases := []struct {
		name, variable, program, version string
		want, wantErr                    string
	}{
		{name: "variable wins", variable: cached, program: "on-path", want: cached},
		{name: "variable names nothing", variable: "/nowhere/x", program: "on-path", wantErr: "DAVIT_TEST_X is set, but stat /nowhere/x"},
		{name: "variable names no program", variable: plain, program: "on-path", wantErr: plain + " is not a program"},
		{name: "path", program: "on-path", version: "v1", want: onPath},
		{name: "tool cache", program: "cached", version: "v1", want: cached},
		{name: "tool cache has another version", program: "cached", version: "v2", wantErr: "cached is not installed; run: make test-deps-all"},
		{name: "nowhere", program: "missing", wantErr: "missing is not installed; run: make test-deps-all"},
		{name: "nowhere, and one of make test", program: "versitygw", version: "v1", wantErr: "versitygw is not installed; run: make test-deps"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			env := map[string]string{"DAVIT_TEST_X": c.variable, "DAVIT_TOOLS": cache}
			got, err := lookup(func(name string) string { return env[name] }, "DAVIT_TEST_X", c.program, c.version)
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if (err != nil) != (c.wantErr != "") || err != nil && !strings.Contains(err.Error(), c.wantErr) {
				t.Errorf("got error %v, want %q", err, c.wantErr)
			}
		})
	}
}

func TestToolCache(t *testing.T) {
	cases := []struct {
		env  map[string]string
		want string
	}{
		{map[string]string{"HOME": "/h"}, "/h/.cache/davit/tools"},
		{map[string]string{"HOME": "/h", "XDG_CACHE_HOME": "/c"}, "/c/davit/tools"},
		{map[string]string{"HOME": "/h", "XDG_CACHE_HOME": "/c", "DAVIT_TOOLS": "/t"}, "/t"},
	}
	for _, c := range cases {
		if got := toolCache(func(name string) string { return c.env[name] }); got != c.want {
			t.Errorf("%v: got %q, want %q", c.env, got, c.want)
		}
	}
}

// The versions in this package and in hack/test-deps must be the same.
func TestInstallerBuildsTheVersionsThatAreLookedUp(t *testing.T) {
	script, err := os.ReadFile("../../hack/test-deps")
	if err != nil {
		t.Fatal(err)
	}
	for name, version := range map[string]string{"minio": minioVersion, "registry": registryVersion} {
		if !strings.Contains(string(script), "readonly "+name+"_version="+version+"\n") {
			t.Errorf("hack/test-deps does not install %s %s", name, version)
		}
	}
	if !strings.Contains(string(script), "versity_version="+versityVersion) {
		t.Errorf("hack/test-deps does not install versitygw %s", versityVersion)
	}
}

func TestRedisKeepsItsAddressAndData(t *testing.T) {
	server := StartRedis(t)
	if got := redis(t, server.Addr, "SET name davit"); got != "+OK" {
		t.Fatalf("SET: %s", got)
	}
	for _, interrupt := range []func(){server.Kill, server.Stop} {
		interrupt()
		if err := pingRedis(t.Context(), server.Addr); err == nil {
			t.Fatal("the server answers although it was ended")
		}
		server.Start()
		if got := redis(t, server.Addr, "GET name"); got != "$5" {
			t.Errorf("GET after a restart: %s", got)
		}
	}
}

func TestPauseHangsAndResumeGoesOn(t *testing.T) {
	server := StartRedis(t)
	server.Pause()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := pingRedis(ctx, server.Addr); !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a paused server: got %v, want no answer in time", err)
	}
	server.Resume()
	if err := pingRedis(t.Context(), server.Addr); err != nil {
		t.Errorf("after Resume: %v", err)
	}
}

func TestNothingOutlivesTheTest(t *testing.T) {
	var redisServer *RedisServer
	var s3Server *S3Server
	t.Run("use", func(t *testing.T) {
		redisServer, s3Server = StartRedis(t), S3(t)
	})
	for _, p := range []*process{redisServer.process, s3Server.process} {
		if err := syscall.Kill(p.cmd.Process.Pid, 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("%s still runs: %v", p.name, err)
		}
	}
}

func TestS3Restarts(t *testing.T) {
	server := S3(t)
	server.Kill()
	if err := server.ready(t.Context(), server.Endpoint); err == nil {
		t.Fatal("the server answers although it was killed")
	}
	server.Start()
	if err := server.ready(t.Context(), server.Endpoint); err != nil {
		t.Error(err)
	}
}

func TestServerThatCannotStartSaysWhy(t *testing.T) {
	p := &process{
		t: t, name: "redis-server", dir: t.TempDir(), addr: "127.0.0.1:1", ready: pingRedis, env: os.Environ(),
		args: func(string, string) []string { return []string{"--no-such-option", "1"} },
	}
	var err error
	if p.program, err = lookup(os.Getenv, "DAVIT_TEST_REDIS", "redis-server", ""); err != nil {
		t.Fatal(err)
	}
	defer p.end()
	if err := p.start(); err == nil || !strings.Contains(err.Error(), "ended at once") {
		t.Errorf("got %v", err)
	}
	if !strings.Contains(p.log(), "no-such-option") {
		t.Errorf("the log does not say why: %q", p.log())
	}
}

// redis sends one inline command and returns the first line of the answer.
func redis(t *testing.T, addr, command string) string {
	t.Helper()
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := fmt.Fprintf(conn, "%s\r\n", command); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// program writes an executable file and returns its path.
func program(t *testing.T, dir, name string) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func BenchmarkStart(b *testing.B) {
	for name, start := range map[string]func(testing.TB) *process{
		"redis":   func(t testing.TB) *process { return StartRedis(t).process },
		"minio":   func(t testing.TB) *process { return MinIO(t).process },
		"versity": func(t testing.TB) *process { return Versity(t).process },
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				start(b).end()
			}
		})
	}
}
