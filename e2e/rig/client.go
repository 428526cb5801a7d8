package rig

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"

	"davit/internal/archive"
)

// Part is a part of a multipart form: a field, or a file if it has a Filename.
type Part struct {
	Name, Filename, ContentType string
	Data                        []byte
}

// Form returns a multipart body of the parts and its Content-Type.
func Form(parts ...Part) (body *bytes.Buffer, contentType string, err error) {
	body = new(bytes.Buffer)
	w := multipart.NewWriter(body)
	for _, p := range parts {
		disposition := fmt.Sprintf("form-data; name=%q", p.Name)
		if p.Filename != "" {
			disposition += fmt.Sprintf("; filename=%q", p.Filename)
		}
		h := map[string][]string{"Content-Disposition": {disposition}}
		if p.ContentType != "" {
			h["Content-Type"] = []string{p.ContentType}
		}
		pw, err := w.CreatePart(h)
		if err != nil {
			return nil, "", err
		}
		if _, err := pw.Write(p.Data); err != nil {
			return nil, "", err
		}
	}
	return body, w.FormDataContentType(), w.Close()
}

// PackDir returns the .tgz of a folder.
func PackDir(ctx context.Context, dir string) ([]byte, error) {
	var b bytes.Buffer
	if err := archive.Pack(ctx, dir, &b); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// PackFiles returns a .tgz of executable files, given their contents by name.
func PackFiles(files map[string]string) ([]byte, error) {
	var b bytes.Buffer
	gz := gzip.NewWriter(&b)
	tw := tar.NewWriter(gz)
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if err := tw.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(files[name])), Typeflag: tar.TypeReg}); err != nil {
			return nil, err
		}
		if _, err := io.WriteString(tw, files[name]); err != nil {
			return nil, err
		}
	}
	if err := errors.Join(tw.Close(), gz.Close()); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// Answer is an HTTP answer with its whole body.
type Answer struct {
	Status int
	Proto  string
	Header http.Header
	Body   []byte
}

// JSON decodes the body.
func (a *Answer) JSON(into any) error {
	if err := json.Unmarshal(a.Body, into); err != nil {
		return fmt.Errorf("status %d, %w in %q", a.Status, err, clip(a.Body))
	}
	return nil
}

func clip(b []byte) []byte { return b[:min(len(b), 500)] }

// Admin sends a request to the console with the admin token.
func (g *Gateway) Admin(ctx context.Context, method, path, contentType string, body io.Reader) (*Answer, error) {
	return g.send(ctx, method, "http://"+g.Console+path, body, http.Header{"Authorization": {"Bearer " + g.Token}, "Content-Type": {contentType}})
}

// Call sends a request to the triggers.
func (g *Gateway) Call(ctx context.Context, method, path string, body io.Reader, header http.Header) (*Answer, error) {
	return g.send(ctx, method, "http://"+g.Calls+path, body, header)
}

func (g *Gateway) send(ctx context.Context, method, url string, body io.Reader, header http.Header) (*Answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		req.Header[name] = values
	}
	if req.Header.Get("Content-Type") == "" {
		req.Header.Del("Content-Type")
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	a := &Answer{Status: res.StatusCode, Proto: res.Proto, Header: res.Header}
	if a.Body, err = io.ReadAll(res.Body); err != nil {
		return a, fmt.Errorf("%s %s: read the answer: %w", method, url, err)
	}
	return a, nil
}

// client does not follow redirects, because tests check them.
var client = &http.Client{ //nolint:gochecknoglobals // one pool of connections for the process
	Transport:     &http.Transport{MaxIdleConnsPerHost: 64},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// CloseIdle closes the connections without a running request.
func CloseIdle() { client.CloseIdleConnections() }

// RegisterSource registers a function from a .tgz and waits until it is ready.
func (g *Gateway) RegisterSource(ctx context.Context, name, spec string, source []byte) (*Answer, error) {
	body, contentType, err := Form(Part{Name: "spec", ContentType: "application/json", Data: []byte(spec)}, Part{Name: "source", Filename: name + ".tgz", Data: source})
	if err != nil {
		return nil, err
	}
	return g.ok(g.Admin(ctx, http.MethodPut, "/v1/functions/"+name+"?wait=60s", contentType, body))
}

// RegisterTrigger registers a trigger.
func (g *Gateway) RegisterTrigger(ctx context.Context, name, spec string) (*Answer, error) {
	return g.ok(g.Admin(ctx, http.MethodPut, "/v1/triggers/"+name, "application/json", strings.NewReader(spec)))
}

func (g *Gateway) ok(a *Answer, err error) (*Answer, error) {
	if err == nil && a.Status/100 != 2 {
		return a, fmt.Errorf("status %d: %s", a.Status, clip(a.Body))
	}
	return a, err
}
