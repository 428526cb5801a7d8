package testenv

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &Network{}
		if _, err := n.Dial(t.Context(), "tcp", "a:1"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("nobody listens: %v", err)
		}
		ln := n.Listen("a:1")
		n.Alias("b:1", ln)
		accepted := make(chan net.Conn, 1)
		go func() {
			c, _ := ln.Accept()
			accepted <- c
		}()
		near, err := n.Dial(t.Context(), "tcp", "b:1")
		if err != nil {
			t.Fatal(err)
		}
		far := <-accepted
		big := make([]byte, 3*bufferSize)
		go func() {
			_, _ = near.Write(big)
			_ = near.Close()
		}()
		if got, err := io.ReadAll(far); len(got) != len(big) || err != nil {
			t.Errorf("read %d bytes, %v", len(got), err)
		}
		if _, err := far.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("write to an end that is closed: %v", err)
		}
		_ = far.Close()
		if _, err := far.Read(big); !errors.Is(err, net.ErrClosed) {
			t.Errorf("read of a closed end: %v", err)
		}
		_ = ln.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := n.Dial(ctx, "tcp", "b:1"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("the listener is closed: %v", err)
		}
	})
}

func TestNetworkDeadlinesAndFreeze(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &Network{}
		near, far := n.Pipe()
		began := time.Now()
		_ = near.SetReadDeadline(began.Add(time.Second))
		time.AfterFunc(500*time.Millisecond, func() { _ = near.SetReadDeadline(began.Add(2 * time.Second)) })
		if _, err := near.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != 2*time.Second {
			t.Errorf("a deadline that was moved: %v after %v", err, time.Since(began))
		}
		_ = near.SetDeadline(time.Time{})
		if _, err := far.Write([]byte("x")); err != nil {
			t.Error(err)
		}
		b := make([]byte, 1)
		if _, err := near.Read(b); err != nil || string(b) != "x" {
			t.Errorf("%q, %v", b, err)
		}
		n.Freeze()
		if _, err := far.Write(make([]byte, 2*bufferSize)); err != nil {
			t.Error(err)
		}
		_ = far.Close()
		if got, err := io.ReadAll(near); len(got) > 0 || err != nil {
			t.Errorf("a frozen connection passes %d bytes, %v", len(got), err)
		}
		_ = near.Close()
	})
}
