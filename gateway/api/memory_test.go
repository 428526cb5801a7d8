package api

import (
	"context"
	"errors"
	"io"
	"runtime"
	"testing"

	"davit/internal/faas"
)

// Bodies and results of any size pass through a few buffers.
func TestMemoryStaysFlat(t *testing.T) {
	u := startTriggers(t, Limits{})
	const size = 256 << 20
	u.caller.answer = func(_ context.Context, call *faas.Call) (*faas.Reply, error) {
		buf := make([]byte, 64<<10)
		for {
			if _, err := call.Body.Read(buf); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return nil, err
			}
		}
		return &faas.Reply{Invocation: succeeded(), Kind: "zip", Body: newFakeBody(io.LimitReader(zeros{}, size))}, nil
	}
	conn := u.raw("POST /huge HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 268435456\r\n\r\n")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	buf := make([]byte, 64<<10)
	for sent := 0; sent < size; sent += len(buf) {
		if _, err := conn.Write(buf); err != nil {
			t.Fatal(err)
		}
	}
	got := 0
	for {
		n, err := conn.Read(buf)
		got += n
		if err != nil {
			break
		}
	}
	runtime.ReadMemStats(&after)
	if got < size {
		t.Fatalf("got %d bytes", got)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 2<<20 {
		t.Fatalf("%d bytes were allocated for %d in and out", used, size)
	}
}
