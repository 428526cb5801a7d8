//go:build cluster

package docker

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"davit/internal/faas"
)

// api is a daemon whose answers are set by a test, because a real daemon gives them in rare conditions only.
type api struct {
	build, push, pull, inspect string // bodies of answers; the connection breaks where one ends with "…"
	status                     map[string]int
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v"), "/")
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "application/json")
	body, name := "{}", ""
	switch {
	case strings.HasPrefix(path, "version"):
		body = `{"Os":"linux","Arch":"amd64","ApiVersion":"1.41"}`
	case path == "build":
		name, body = "build", a.build
	case strings.HasSuffix(path, "/push"):
		name, body = "push", a.push
	case path == "images/create":
		name, body = "pull", a.pull
	case strings.HasPrefix(path, "distribution/"):
		name, body = "inspect", a.inspect
	case strings.HasPrefix(path, "images/json"), strings.HasPrefix(path, "containers/json"):
		body = "[]"
	case strings.HasPrefix(path, "images/"):
		body = `{"Id":"sha256:base","Os":"linux","Architecture":"amd64"}`
	}
	if a.status[name] > 0 {
		w.WriteHeader(a.status[name])
	}
	body, breaks := strings.CutSuffix(body, "…")
	_, _ = io.WriteString(w, body)
	if breaks {
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
}

const (
	goodBuild   = `{"stream":"Step 1/1 : FROM x\n"}` + "\r\n" + `{"aux":{"ID":"sha256:built"}}` + "\r\n"
	goodDigest  = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	goodPush    = `{"status":"Pushed"}{"aux":{"Tag":"1","Digest":"` + goodDigest + `","Size":1}}`
	goodInspect = `{"Descriptor":{"digest":"` + goodDigest + `"}}`
)

func TestAnswers(t *testing.T) {
	const otherDigest = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
	message := func(text string) string { return fmt.Sprintf(`{"message":%q}`, text) }
	cases := map[string]struct {
		change func(*api)
		kind   faas.Kind // "": it works; Internal: an error without a kind
		detail string
	}{
		"all is well": {func(*api) {}, "", ""},
		"error within 200": {func(a *api) {
			a.build = `{"stream":"x"}{"errorDetail":{"code":2,"message":"it broke"},"error":"it broke"}`
		}, faas.BuildFailed, "it broke"},
		"error told in one way":          {func(a *api) { a.build = `{"error":"it broke"}` }, faas.BuildFailed, "it broke"},
		"error after the image":          {func(a *api) { a.build = goodBuild + `{"error":"it broke"}` }, faas.BuildFailed, "it broke"},
		"build breaks off":               {func(a *api) { a.build = `{"stream":"x"}…` }, faas.Unavailable, "the Docker daemon is away"},
		"build breaks off in a line":     {func(a *api) { a.build = `{"stream":"x` }, faas.Unavailable, "the Docker daemon is away"},
		"build without an image":         {func(a *api) { a.build = `{"stream":"x"}` }, faas.Internal, ""},
		"build answers nonsense":         {func(a *api) { a.build = `<html>` }, faas.Internal, ""},
		"build refused":                  {func(a *api) { a.build, a.status = message("bad flag"), map[string]int{"build": 400} }, faas.BuildFailed, "bad flag"},
		"no space to build":              {func(a *api) { a.build = `{"error":"write /x: no space left on device"}` }, faas.BuildFailed, "no space left"},
		"an image vanished twice":        {func(a *api) { a.build = `{"error":"No such image: sha256:1"}` }, faas.Unavailable, "was removed while it was built on"},
		"push fails within 200":          {func(a *api) { a.push = `{"errorDetail":{"message":"denied"},"error":"denied"}` }, faas.Unavailable, "could not be pushed: denied"},
		"push tells the digest in words": {func(a *api) { a.push = `{"status":"1: digest: ` + goodDigest + ` size: 528"}` }, "", ""},
		"push tells no digest":           {func(a *api) { a.push = `{"status":"Pushed"}` }, faas.Unavailable, "did not say under which digest"},
		"push breaks off":                {func(a *api) { a.push = `{"status":"Pushing"}…` }, faas.Unavailable, "the Docker daemon is away"},
		"registry away within 200":       {func(a *api) { a.push = `{"error":"dial tcp 10.0.0.1:5000: connect: connection refused"}` }, faas.Unavailable, "the registry does not answer"},
		"not pullable after the push":    {func(a *api) { a.inspect, a.status = message("manifest unknown"), map[string]int{"inspect": 404} }, faas.Unavailable, "could not be pushed: manifest unknown"},
		"another digest in the registry": {func(a *api) { a.inspect = `{"Descriptor":{"digest":"` + otherDigest + `"}}` }, faas.Unavailable, "instead of " + goodDigest},
		"pull fails within 200": {func(a *api) {
			a.pull = `{"status":"Pulling"}{"error":"no matching manifest for linux/amd64 in the manifest list entries"}`
		}, faas.BuildFailed, "is not there for linux/amd64"},
		"pull has no room":           {func(a *api) { a.pull = `{"error":"write /x: no space left on device"}` }, faas.BuildFailed, "does not fit"},
		"pull is denied":             {func(a *api) { a.pull, a.status = message("pull access denied for x"), map[string]int{"pull": 404} }, faas.BuildFailed, "needs a login"},
		"pull fails at the registry": {func(a *api) { a.pull = `{"error":"received unexpected HTTP status: 503 Service Unavailable"}` }, faas.Unavailable, "its registry does not answer"},
		"pull fails oddly":           {func(a *api) { a.pull = `{"error":"filesystem layer verification failed"}` }, faas.BuildFailed, "layer verification failed"},
		"pull breaks off":            {func(a *api) { a.pull = `{"status":"Pulling"}…` }, faas.Unavailable, "the Docker daemon is away"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			a := &api{build: goodBuild, push: goodPush, inspect: goodInspect}
			c.change(a)
			server := httptest.NewServer(a)
			defer server.Close()
			b, err := New(Options{Host: "tcp://" + server.Listener.Addr().String(), Registry: "registry:5000", Runner: runnerProgram(t)})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = b.Close() }()
			b.pushWait = 1
			var spec faas.FunctionSpec
			packed := source(t, file("app.txt", "app"))
			if a.pull != "" { // an image is always pulled
				spec.Image, packed = "team/app:1", nil
				a.build = goodBuild
			}
			built, log, err := b.make(t.Context(), revision("f", 1, spec, packed), packed)
			var told *faas.Error
			switch {
			case a.pull != "" && !strings.HasSuffix(a.pull, "…"):
				// The daemon had the image before, so that the error is in the log only.
				if err != nil || !strings.Contains(log, c.detail) || !strings.Contains(log, "the one that is there is used") {
					t.Errorf("the log lacks %q:\n%s", c.detail, log)
				}
			case c.kind == "":
				if err != nil || built.Image != "registry:5000/davit/f@"+goodDigest {
					t.Errorf("got %+v, %v", built, err)
				}
			case c.kind == faas.Internal:
				if err == nil || errors.As(err, &told) {
					t.Errorf("got %v", err)
				}
			default:
				failed(t, err, c.kind, c.detail)
			}
		})
	}
}
