// Package floor is the smallest server that answers the benchmarks' calls: a bare Fiber handler that forks the command
// itself and zips its files. Start at [Serve].
package floor

import (
	"archive/zip"
	"bufio"
	"bytes"
	"context"
	"errors"
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

// Serve serves at the address, writes the actual address to ready, and returns when until ends.
func Serve(address string, until io.Reader, ready io.Writer) error {
	app := fiber.New(fiber.Config{DisableStartupMessage: true, StreamRequestBody: true, DisablePreParseMultipartForm: true, BodyLimit: 1 << 30})
	app.Post("/ready", func(c *fiber.Ctx) error { return c.SendStatus(fiber.StatusOK) })
	app.Post("/true", func(c *fiber.Ctx) error {
		out, err := exec.CommandContext(c.Context(), "true").Output()
		if err != nil {
			return err
		}
		return answerZip(c, "stdout", out)
	})
	app.Post("/copy", copyFile)
	app.Post("/files/:kind", sendFiles)
	return listen(app, address, until, ready)
}

// Hop forwards every call to the floor at addr, as Serve serves it. It measures the cost of a second process, which
// every gateway has whose runners are other processes.
func Hop(addr, address string, until io.Reader, ready io.Writer) error {
	app := fiber.New(fiber.Config{DisableStartupMessage: true, BodyLimit: 1 << 30})
	client := &fasthttp.HostClient{Addr: addr, MaxConns: 64}
	app.Post("/*", func(c *fiber.Ctx) error { return client.Do(c.Request(), c.Response()) })
	return listen(app, address, until, ready)
}

func listen(app *fiber.App, address string, until io.Reader, ready io.Writer) error {
	ln, err := new(net.ListenConfig).Listen(context.Background(), "tcp", address)
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

// copyFile saves the posted file in a new folder, copies it with cp, and answers with the copy.
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
	in, err := os.Create(filepath.Join(dir, filepath.Base(part.FileName())))
	if err != nil {
		return err
	}
	if _, err := io.Copy(in, part); err != nil {
		return err
	}
	_ = in.Close()
	cmd := exec.CommandContext(c.Context(), "cp", filepath.Base(in.Name()), "out.bin")
	cmd.Dir = dir
	if err := cmd.Run(); err != nil {
		return err
	}
	out, err := os.ReadFile(filepath.Join(dir, "out.bin"))
	if err != nil {
		return err
	}
	return answerZip(c, "out.bin", out)
}

// sendFiles runs e2e/bench/work, which is beside this program, in a new folder, and writes the files that it makes to
// the socket as an uncompressed zip.
func sendFiles(c *fiber.Ctx) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "davit-bench-")
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(c.Context(), filepath.Join(filepath.Dir(self), "davit-bench-work"), "files", c.Params("kind"))
	cmd.Dir = dir
	if err := cmd.Run(); err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	c.Set(fiber.HeaderContentType, "application/zip")
	c.Context().SetBodyStreamWriter(func(w *bufio.Writer) {
		defer func() { _ = os.RemoveAll(dir) }()
		_ = storeZip(w, filepath.Join(dir, "out")) // the reader notices an incomplete zip
	})
	return nil
}

func storeZip(w io.Writer, dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	z := zip.NewWriter(w)
	for _, entry := range entries {
		into, err := z.CreateHeader(&zip.FileHeader{Name: "out/" + entry.Name(), Method: zip.Store})
		if err != nil {
			return err
		}
		f, err := os.Open(filepath.Join(dir, entry.Name()))
		if err != nil {
			return err
		}
		_, err = io.Copy(into, f)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return z.Close()
}

func answerZip(c *fiber.Ctx, name string, data []byte) error {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.BestSpeed) })
	method := zip.Deflate
	if len(data) < 256 || name == "out.bin" { // Davit does not compress tiny and random files either
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
