package edge

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http/httputil"
	"strings"
	"testing"
	"time"
)

// memConn gives what it holds in pieces, and keeps what is written.
type memConn struct {
	net.Conn
	in    io.Reader
	piece int
	out   bytes.Buffer
}

func (m *memConn) Read(p []byte) (int, error)       { return m.in.Read(p[:min(len(p), m.piece)]) }
func (m *memConn) Write(p []byte) (int, error)      { return m.out.Write(p) }
func (m *memConn) SetReadDeadline(time.Time) error  { return nil }
func (m *memConn) SetWriteDeadline(time.Time) error { return nil }
func (m *memConn) Close() error                     { return nil }

func bodyOver(t testing.TB, in []byte, size int64, piece int) (*body, *conn) {
	limits := Limits{}.withDefaults()
	c := newConn(context.Background(), &memConn{in: bytes.NewReader(in), piece: piece}, &limits)
	t.Cleanup(func() { _ = c.Close() })
	return newBody(c, size, false), c
}

// What is a chunked body to us is one to net/http too, with the same content and the same end; we refuse more.
func FuzzChunks(f *testing.F) {
	for _, seed := range []string{
		"0\r\n\r\n", "5\r\nhello\r\n0\r\n\r\nnext", "5;a=b\r\nhello\r\n0\r\nTrailer: x\r\n\r\n", "A\r\n0123456789\r\n1\r\nx\r\n0\r\n\r\n",
		"5\nhello\r\n0\r\n\r\n", "+5\r\nhello\r\n0\r\n\r\n", "5\r\nhello0\r\n\r\n", "fffffffffffffffff\r\n", "5 \r\nhello\r\n0\r\n\r\n", "1\r\nx\r\n\r\n", "",
	} {
		f.Add([]byte(seed), 3)
	}
	f.Fuzz(func(t *testing.T, in []byte, piece int) {
		b, c := bodyOver(t, in, lengthUnknown, max(1, piece))
		got, err := io.ReadAll(b)
		if err != nil {
			return
		}
		rest := bytes.NewReader(in)
		want, err := io.ReadAll(httputil.NewChunkedReader(rest))
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%q: %q; net/http reads %q, %v", in, got, want, err)
		}
		if !b.end() {
			t.Fatalf("%q was read, and is not whole", in)
		}
		left, _ := io.ReadAll(io.MultiReader(bytes.NewReader(c.ahead.bytes()), c.Conn))
		if at := len(in) - len(left); at < 5 || !bytes.HasSuffix(in[:at], []byte("\r\n")) {
			t.Fatalf("%q ends at %d", in, at)
		}
	})
}

// The end of a header is found wherever the pieces end.
func FuzzHeadScan(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\nbody\r\n\r\n"), uint8(3))
	f.Add([]byte("\r\n\r\nGET / HTTP/1.1\r\n\r\n"), uint8(1))
	f.Add([]byte("GET /\nHost: x\n\n"), uint8(5))
	f.Fuzz(func(t *testing.T, in []byte, piece uint8) {
		whole := headScan{}
		want, wantOK := whole.next(in)
		pieces, at := headScan{}, 0
		for at < len(in) {
			next := min(len(in), at+max(1, int(piece)))
			end, ok := pieces.next(in[at:next])
			if !ok {
				if wantOK {
					t.Fatalf("%q: refused in pieces only", in)
				}
				return
			}
			if end >= 0 {
				if at+end != want {
					t.Fatalf("%q: ends at %d, in pieces at %d", in, want, at+end)
				}
				return
			}
			at = next
		}
		if wantOK && want >= 0 || !wantOK {
			t.Fatalf("%q: %d %v, in pieces nothing", in, want, wantOK)
		}
	})
}

func TestFixedBody(t *testing.T) {
	b, c := bodyOver(t, []byte("0123456789next"), 10, 3)
	got, err := io.ReadAll(b)
	if err != nil || string(got) != "0123456789" || !b.end() {
		t.Fatalf("%q, %v", got, err)
	}
	if n, err := b.Read(make([]byte, 1)); n != 0 || !errors.Is(err, errBodyOver) {
		t.Fatalf("after the end: %d, %v", n, err)
	}
	rest, _ := io.ReadAll(c.Conn)
	if string(rest) != "next" {
		t.Fatalf("rest %q", rest)
	}
}

func TestChunkOverheadIsBounded(t *testing.T) {
	in := strings.Repeat("1;"+strings.Repeat("x", 1000)+"\r\ny\r\n", 100) + "0\r\n\r\n"
	b, _ := bodyOver(t, []byte(in), lengthUnknown, 4096)
	if got, err := io.ReadAll(b); err == nil {
		t.Fatalf("read %d bytes out of %d", len(got), len(in))
	}
	b, _ = bodyOver(t, []byte("0\r\n"+strings.Repeat("Trailer: "+strings.Repeat("x", 1000)+"\r\n", 10)+"\r\n"), lengthUnknown, 4096)
	if _, err := io.ReadAll(b); err == nil {
		t.Fatal("a giant trailer was read")
	}
	b, _ = bodyOver(t, []byte(strings.Repeat("0", 5000)+"\r\n\r\n"), lengthUnknown, 4096)
	if _, err := io.ReadAll(b); err == nil {
		t.Fatal("a giant size was read")
	}
}
