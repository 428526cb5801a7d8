package main

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"davit/internal/archive"
)

// wanted is what the example has to answer.
const wanted = "file,lines,words,bytes\nsample.txt,3,26,114\n"

// first registers the example, calls it, and checks what came back.
func first(ctx context.Context, g *gateway, example string, out io.Writer) error {
	say := func(format string, a ...any) { _, _ = fmt.Fprintf(out, format, a...) }
	say("1. Register the function: the folder %s as a .tgz.\n\n", example)
	say("   tar czf wordcount.tgz -C %s .\n   curl -H \"Authorization: Bearer $(cat %s)\" -X PUT 'http://%s/v1/functions/wordcount?wait=60s' \\\n        -F 'spec={};type=application/json' -F source=@wordcount.tgz\n\n", example, g.tokenFile, g.console)
	var fn struct {
		Revision int    `json:"revision"`
		State    string `json:"state"`
	}
	source, err := pack(ctx, example)
	if err != nil {
		return err
	}
	body, contentType, err := form(part{name: "spec", data: []byte("{}"), contentType: "application/json"}, part{name: "source", filename: "wordcount.tgz", data: source})
	if err != nil {
		return err
	}
	if err := g.put(ctx, "/v1/functions/wordcount?wait=60s", contentType, body, &fn); err != nil {
		return err
	}
	say("   revision %d is %s\n\n2. Register a trigger: a URL, the command to run, the files to return.\n\n", fn.Revision, fn.State)
	spec := `{"function": "wordcount", "methods": ["POST"], "path": "/wordcount", "command": "sh count.sh", "argument_style": "counted", "results": ["counts.csv", "report.txt"]}`
	say("   curl -H \"Authorization: Bearer $(cat %s)\" -X PUT http://%s/v1/triggers/wordcount \\\n        -H 'Content-Type: application/json' -d '%s'\n\n", g.tokenFile, g.console, spec)
	if err := g.put(ctx, "/v1/triggers/wordcount", "application/json", strings.NewReader(spec), nil); err != nil {
		return err
	}
	sample := filepath.Join(example, "sample.txt")
	say("3. Call it with a file.\n\n   curl -i -o wordcount.zip -F title='My first call' -F text=@%s http://%s/wordcount\n\n", sample, g.calls)
	return g.call(ctx, sample, out)
}

func pack(ctx context.Context, dir string) ([]byte, error) {
	var b bytes.Buffer
	if err := archive.Pack(ctx, dir, &b); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

type part struct {
	name, filename, contentType string
	data                        []byte
}

// form writes a multipart body.
func form(parts ...part) (io.Reader, string, error) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, p := range parts {
		h := make(map[string][]string)
		disposition := fmt.Sprintf(`form-data; name=%q`, p.name)
		if p.filename != "" {
			disposition += fmt.Sprintf(`; filename=%q`, p.filename)
		}
		h["Content-Disposition"] = []string{disposition}
		if p.contentType != "" {
			h["Content-Type"] = []string{p.contentType}
		}
		pw, err := w.CreatePart(h)
		if err != nil {
			return nil, "", err
		}
		if _, err := pw.Write(p.data); err != nil {
			return nil, "", err
		}
	}
	return &b, w.FormDataContentType(), w.Close()
}

// put sends a registration and decodes the answer.
func (g *gateway) put(ctx context.Context, path, contentType string, body io.Reader, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, "http://"+g.console+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+g.token)
	req.Header.Set("Content-Type", contentType)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("PUT %s: %s: %s", path, res.Status, b)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(b, into)
}

// call posts the file and shows the answer.
func (g *gateway) call(ctx context.Context, sample string, out io.Writer) error {
	data, err := os.ReadFile(sample) //nolint:gosec // the example's own
	if err != nil {
		return err
	}
	body, contentType, err := form(part{name: "title", data: []byte("My first call")}, part{name: "text", filename: filepath.Base(sample), data: data})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+g.calls+"/wordcount", body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", contentType)
	began := time.Now()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(out, "   %s %s  (%s)\n", res.Proto, res.Status, time.Since(began).Round(time.Millisecond))
	names := make([]string, 0, len(res.Header))
	for name := range res.Header {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		_, _ = fmt.Fprintf(out, "   %s: %s\n", name, res.Header.Get(name))
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("the call was answered with %s: %s", res.Status, b)
	}
	return show(b, out)
}

// show lists the zip and checks the one file that matters.
func show(b []byte, out io.Writer) error {
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return fmt.Errorf("read the result: %w", err)
	}
	_, _ = fmt.Fprintf(out, "\n4. The result: a zip of %d bytes.\n", len(b))
	got := ""
	for _, f := range z.File {
		text, err := contents(f)
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(out, "\n   %s\n     %s\n", f.Name, strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n     "))
		if f.Name == "counts.csv" {
			got = text
		}
	}
	if got != wanted {
		return fmt.Errorf("counts.csv is %q, but should be %q", got, wanted)
	}
	return nil
}

func contents(f *zip.File) (string, error) {
	r, err := f.Open()
	if err != nil {
		return "", fmt.Errorf("read %s: %w", f.Name, err)
	}
	defer func() { _ = r.Close() }()
	b, err := io.ReadAll(io.LimitReader(r, 1<<20))
	return string(b), err
}
