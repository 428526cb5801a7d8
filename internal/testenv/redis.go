package testenv

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
)

// RedisServer is a running redis-server that writes every change to its append-only file before it answers, so that
// Kill loses no acknowledged change. Its methods are for the goroutine of the test that started it.
type RedisServer struct {
	*process

	// Addr is its host:port. A restart does not change it.
	Addr string
}

// Redis starts a redis-server for this test and returns its host:port.
func Redis(t testing.TB) string {
	t.Helper()
	return StartRedis(t).Addr
}

// StartRedis starts a redis-server for this test. options are added to its command line ("--maxmemory", "64mb"). The
// server ends with the test.
func StartRedis(t testing.TB, options ...string) *RedisServer {
	t.Helper()
	program, err := lookup(os.Getenv, "DAVIT_TEST_REDIS", "redis-server", "")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	p := &process{
		t: t, name: "redis-server", program: program, dir: dir, env: os.Environ(), ready: pingRedis,
		args: func(host, port string) []string {
			return append([]string{
				"--bind", host, "--port", port, "--dir", dir,
				"--appendonly", "yes", "--save", "", "--daemonize", "no",
			}, options...)
		},
	}
	p.open()
	return &RedisServer{process: p, Addr: p.addr}
}

// pingRedis returns nil if the server answers PING. While it loads its data it answers an error.
func pingRedis(ctx context.Context, addr string) error {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return err
		}
	}
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return err
	}
	answer, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return err
	}
	if answer = strings.TrimSpace(answer); answer != "+PONG" {
		return fmt.Errorf("PING was answered %q", answer)
	}
	return nil
}
