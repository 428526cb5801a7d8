package main

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"davit/e2e/rig"
)

// wanted is the right result of the example.
const wanted = "file,lines,words,bytes\nsample.txt,3,26,114\n"

const trigger = `{"function": "wordcount", "methods": ["POST"], "path": "/wordcount", "command": "sh count.sh",
  "argument_style": "counted", "results": ["counts.csv", "report.txt"]}`

// first registers the example, calls it, and checks the result.
func first(ctx context.Context, g *rig.Gateway, example string, out io.Writer) error {
	say := func(format string, a ...any) { _, _ = fmt.Fprintf(out, format, a...) }
	auth := fmt.Sprintf(`-H "Authorization: Bearer $(cat %s)"`, g.TokenFile)
	say("1. Register the function: the folder %s/source, packed.\n\n   tar czf wordcount.tgz -C %s/source .\n   curl %s -X PUT 'http://%s/v1/functions/wordcount?wait=60s' \\\n     -F 'spec={};type=application/json' -F source=@wordcount.tgz\n\n", example, example, auth, g.Console)
	var fn struct {
		Revision int    `json:"revision"`
		State    string `json:"state"`
	}
	source, err := rig.PackDir(ctx, filepath.Join(example, "source"))
	if err != nil {
		return err
	}
	answer, err := g.RegisterSource(ctx, "wordcount", "{}", source)
	if err != nil {
		return fmt.Errorf("register the function: %w", err)
	}
	if err := answer.JSON(&fn); err != nil {
		return err
	}
	say("   revision %d is %s\n\n2. Register a trigger: a URL, the command to run, the files to return.\n\n   curl %s -X PUT http://%s/v1/triggers/wordcount \\\n     -H 'Content-Type: application/json' -d '%s'\n\n", fn.Revision, fn.State, auth, g.Console, trigger)
	if _, err := g.RegisterTrigger(ctx, "wordcount", trigger); err != nil {
		return fmt.Errorf("register the trigger: %w", err)
	}
	sample := filepath.Join(example, "sample.txt")
	say("3. Call it with a file.\n\n   curl -i -o wordcount.zip -F title='My first call' -F text=@%s http://%s/wordcount\n\n", sample, g.Calls)
	return call(ctx, g, sample, out)
}

// call posts the file and shows the answer.
func call(ctx context.Context, g *rig.Gateway, sample string, out io.Writer) error {
	data, err := os.ReadFile(sample)
	if err != nil {
		return err
	}
	body, contentType, err := rig.Form(rig.Part{Name: "title", Data: []byte("My first call")}, rig.Part{Name: "text", Filename: filepath.Base(sample), Data: data})
	if err != nil {
		return err
	}
	began := time.Now()
	a, err := g.Call(ctx, http.MethodPost, "/wordcount", body, http.Header{"Content-Type": {contentType}})
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(out, "   %s %d %s  (%s)\n", a.Proto, a.Status, http.StatusText(a.Status), time.Since(began).Round(time.Millisecond))
	names := make([]string, 0, len(a.Header))
	for name := range a.Header {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		_, _ = fmt.Fprintf(out, "   %s: %s\n", name, a.Header.Get(name))
	}
	if a.Status != http.StatusOK {
		return fmt.Errorf("the call was answered with %d: %s", a.Status, a.Body)
	}
	return show(a.Body, out)
}

// show prints the files of the zip and checks counts.csv.
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
