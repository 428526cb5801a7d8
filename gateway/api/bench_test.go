package api

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/gofiber/fiber/v2"

	"davit/internal/faas"
)

// BenchmarkCall is one call on a kept connection whose command takes no time, against a bare Fiber handler that answers
// the same.
func BenchmarkCall(b *testing.B) {
	const request = "POST /echo/a HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
	b.Run("davit", func(b *testing.B) {
		u := startTriggers(b, Limits{})
		u.caller.answer = func(context.Context, *faas.Call) (*faas.Reply, error) {
			return &faas.Reply{Invocation: succeeded(), Kind: "zip", Body: newFakeBody(strings.NewReader("twenty-two bytes of zip"))}, nil
		}
		callEach(b, u.raw(""), request)
	})
	b.Run("fiber", func(b *testing.B) {
		app := fiber.New(fiber.Config{DisableStartupMessage: true})
		app.Post("/echo/:name", func(c *fiber.Ctx) error { return c.SendString("twenty-two bytes of zip") })
		ln := listen(b)
		go func() { _ = app.Listener(ln) }()
		b.Cleanup(func() { _ = app.Shutdown() })
		conn, err := dial(b, ln.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		callEach(b, conn, request)
	})
}

func callEach(b *testing.B, conn net.Conn, request string) {
	b.Helper()
	r := bufio.NewReader(conn)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := io.WriteString(conn, request); err != nil {
			b.Fatal(err)
		}
		res, err := http.ReadResponse(r, nil)
		if err != nil || res.StatusCode != http.StatusOK {
			b.Fatal(res, err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
	}
}
