package sock_test

import (
	"fmt"
	"net"
	"testing"
	"time"

	"davit/internal/sock"
	"davit/internal/testenv"
)

func pair(t *testing.T) (near, far net.Conn) {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	near, err = (&net.Dialer{}).DialContext(t.Context(), "tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err = ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = near.Close(); _ = far.Close() })
	return near, far
}

func TestTune(t *testing.T) {
	near, _ := pair(t)
	if err := sock.Tune(near); err != nil {
		t.Fatal(err)
	}
	if err := sock.UserTimeout(near, sock.SlowAfter); err != nil {
		t.Fatal(err)
	}
	other, end := net.Pipe()
	defer other.Close()
	defer end.Close()
	if err := sock.Tune(other); err != nil {
		t.Errorf("a connection that is not TCP: %v", err)
	}
}

func TestQuiet(t *testing.T) {
	await := func(t *testing.T, c net.Conn, want bool) {
		t.Helper()
		testenv.EventuallyWithin(t, 5*time.Second, fmt.Sprintf("Quiet returns %v", want), func() bool { return sock.Quiet(c) == want })
	}
	near, far := pair(t)
	await(t, near, true)
	if _, err := far.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	await(t, near, false)
	if _, err := near.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	await(t, near, true)
	_ = far.Close()
	await(t, near, false)

	near, _ = pair(t)
	_ = near.Close()
	await(t, near, false)
}
