package main

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/gofiber/fiber/v2"
	"github.com/klauspost/compress/flate"
	"github.com/valyala/fasthttp"
)

// serveFloor is the least that can answer the same calls over HTTP: a bare Fiber
// handler that forks the command itself and zips what it left.
func serveFloor(until io.Reader, ready io.Writer) error {
	app := fiber.New(fiber.Config{DisableStartupMessage: true, StreamRequestBody: true, DisablePreParseMultipartForm: true, BodyLimit: 1 << 30})
	app.Post("/true", func(c *fiber.Ctx) error {
		out, err := exec.CommandContext(c.Context(), "true").Output()
		if err != nil {
			return err
		}
		return answerZip(c, "stdout", out)
	})
	app.Post("/copy", copyFile)
	return serve(app, until, ready)
}

// serveHop hands every call on to the floor at addr: what a second process on the way costs,
// which a gateway with runners apart cannot do without.
func serveHop(addr string, until io.Reader, ready io.Writer) error {
	app := fiber.New(fiber.Config{DisableStartupMessage: true, BodyLimit: 1 << 30})
	client := &fasthttp.HostClient{Addr: addr, MaxConns: 64}
	app.Post("/*", func(c *fiber.Ctx) error { return client.Do(c.Request(), c.Response()) })
	return serve(app, until, ready)
}

// serve serves on a free port, which it prints, until the input ends.
func serve(app *fiber.App, until io.Reader, ready io.Writer) error {
	ln, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(ready, ln.Addr()); err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(io.Discard, until)
		_ = app.Shutdown()
	}()
	return app.Listener(ln)
}

// copyFile saves the posted file in a fresh folder, has cp copy it, and answers with the copy.
func copyFile(c *fiber.Ctx) error {
	dir, err := os.MkdirTemp("", "davit-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	r := multipart.NewReader(c.Context().RequestBodyStream(), string(c.Request().Header.MultipartFormBoundary()))
	part, err := r.NextPart()
	if err != nil {
		return err
	}
	in, err := os.Create(filepath.Join(dir, filepath.Base(part.FileName()))) //nolint:gosec // the benchmark's own
	if err != nil {
		return err
	}
	if _, err := io.Copy(in, part); err != nil {
		return err
	}
	_ = in.Close()
	cmd := exec.CommandContext(c.Context(), "cp", filepath.Base(in.Name()), "out.bin") //nolint:gosec // the benchmark's own
	cmd.Dir = dir
	if err := cmd.Run(); err != nil {
		return err
	}
	out, err := os.ReadFile(filepath.Join(dir, "out.bin")) //nolint:gosec // the benchmark's own
	if err != nil {
		return err
	}
	return answerZip(c, "out.bin", out)
}

func answerZip(c *fiber.Ctx, name string, data []byte) error {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.BestSpeed) })
	method := zip.Deflate
	if len(data) < 256 || name == "out.bin" { // what Davit stores as is, too: tiny, or random
		method = zip.Store
	}
	w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: method})
	if err != nil {
		return err
	}
	if _, err := w.Write(data); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	c.Set(fiber.HeaderContentType, "application/zip")
	return c.Send(b.Bytes())
}
