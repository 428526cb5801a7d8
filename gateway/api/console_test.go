package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/textproto"
	"os"
	"strings"
	"testing"

	"davit/internal/faas"
)

// part is one part of a form.
type part struct{ name, file, text string }

func formOf(t testing.TB, parts ...part) (body io.Reader, media string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, p := range parts {
		h := textproto.MIMEHeader{}
		disposition := fmt.Sprintf(`form-data; name=%q`, p.name)
		if p.file != "" {
			disposition += fmt.Sprintf(`; filename=%q`, p.file)
		}
		h.Set("Content-Disposition", disposition)
		f, err := w.CreatePart(h)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(f, p.text)
	}
	_ = w.Close()
	return &b, w.FormDataContentType()
}

func (u *consoleUnderTest) putParts(path string, parts ...part) *answer {
	u.t.Helper()
	body, media := formOf(u.t, parts...)
	return u.as("PUT", path, body, "Content-Type", media)
}

func TestPutFunction(t *testing.T) {
	u := startConsole(t, Limits{})
	spec := part{"spec", "", `{"command": ["sh"]}`}
	got := u.putParts("/v1/functions/thumb", spec, part{"source", "a.tgz", "archive one"})
	if got.StatusCode != 202 || got.Header.Get("Location") != "/v1/functions/thumb" {
		t.Fatalf("got %d %s", got.StatusCode, got.body)
	}
	var fn functionView
	got.decode(t, &fn)
	if fn.State != faas.RevisionBuilding || fn.Live != nil || !strings.HasPrefix(fn.Invocable, "not invocable: ") {
		t.Fatalf("function %+v", fn)
	}
	// The source first: it waits for the spec.
	got = u.putParts("/v1/functions/thumb?wait=120s", part{"source", "", "archive two"}, spec)
	got.decode(t, &fn)
	if got.StatusCode != 200 || fn.Revision != 2 || *fn.Live != 2 || fn.Image != "sha256:abc" || fn.Invocable != "ready, 1 of 2 warm" || fn.Slots["warm"].Runners != 2 {
		t.Fatalf("got %d %s", got.StatusCode, got.body)
	}
	if got := u.registry.sources[faas.RevisionRef{Function: "thumb", Number: 2}]; got != "archive two" {
		t.Fatalf("source %q", got)
	}
	if got = u.putParts("/v1/functions/other?wait=120s", spec, part{"source", "", "x"}); got.StatusCode != 201 {
		t.Fatalf("got %d", got.StatusCode)
	}
	got = u.as("PUT", "/v1/functions/image?wait=120s", strings.NewReader(`{"image": "alpine:3"}`), "Content-Type", "application/json")
	if got.StatusCode != 201 {
		t.Fatalf("image: %d %s", got.StatusCode, got.body)
	}
	u.registry.end = faas.RevisionFailed
	u.registry.log = strings.Repeat("x", 10<<10) + "the end"
	p := u.putParts("/v1/functions/thumb?wait=120s", spec, part{"source", "", "x"}).wantProblem(t, 422, faas.BuildFailed, "exit status 1")
	if len(*p.LogTail) != logTailBytes || !strings.HasSuffix(*p.LogTail, "the end") {
		t.Fatalf("log tail %q", *p.LogTail)
	}
	// The live revision still serves.
	u.as("GET", "/v1/functions/thumb", nil).decode(t, &fn)
	if fn.Revision != 3 || fn.State != faas.RevisionFailed || *fn.Live != 2 {
		t.Fatalf("function %+v", fn)
	}
	left, err := os.ReadDir(t.TempDir())
	if err != nil || len(left) > 0 {
		t.Fatalf("temporary files: %v %v", left, err)
	}
}

func TestRefusedFunctions(t *testing.T) {
	u := startConsole(t, Limits{SourceBytes: 1 << 20, JSONBytes: 64 << 10})
	good, source := part{"spec", "", `{}`}, part{"source", "", "archive"}
	body := func(parts ...part) (io.Reader, string) { return formOf(t, parts...) }
	text := func(s, media string) (io.Reader, string) { return strings.NewReader(s), media }
	whole, media := formOf(t, good, source)
	cut, _ := io.ReadAll(whole)
	tests := []struct {
		name   string
		body   func() (io.Reader, string)
		status int
		kind   faas.Kind
		words  string
	}{
		{"no spec", func() (io.Reader, string) { return body(source) }, 400, faas.Invalid, `"spec"`},
		{"no source", func() (io.Reader, string) { return body(good) }, 400, faas.Invalid, `"source"`},
		{"nothing", func() (io.Reader, string) { return body() }, 400, faas.Invalid, ""},
		{"two specs", func() (io.Reader, string) { return body(good, good, source) }, 400, faas.Invalid, `"spec"`},
		{"two sources", func() (io.Reader, string) { return body(good, source, source) }, 400, faas.Invalid, `"source"`},
		{"a part too many", func() (io.Reader, string) { return body(good, source, part{"x", "", "y"}) }, 400, faas.Invalid, `"x"`},
		{"a part too many, source first", func() (io.Reader, string) { return body(source, good, part{"x", "", "y"}) }, 400, faas.Invalid, `"x"`},
		{"an unknown part first", func() (io.Reader, string) { return body(part{"x", "", "y"}, good, source) }, 400, faas.Invalid, `"x"`},
		{"malformed spec", func() (io.Reader, string) { return body(part{"spec", "", "{"}, source) }, 400, faas.Invalid, ""},
		{"unknown field", func() (io.Reader, string) { return body(part{"spec", "", `{"x": 1}`}, source) }, 400, faas.Invalid, ""},
		{"cut short", func() (io.Reader, string) { return text(string(cut[:len(cut)-10]), media) }, 400, faas.Invalid, "malformed"},
		{"cut in the source", func() (io.Reader, string) { return text(string(cut[:len(cut)-70]), media) }, 400, faas.Invalid, "malformed"},
		{"no boundary", func() (io.Reader, string) { return text("x", "multipart/form-data") }, 400, faas.Invalid, "boundary"},
		{"giant boundary", func() (io.Reader, string) {
			return text("x", "multipart/form-data; boundary="+strings.Repeat("x", 300))
		}, 400, faas.Invalid, "boundary"},
		{"another boundary", func() (io.Reader, string) { return text(string(cut), "multipart/form-data; boundary=other") }, 400, faas.Invalid, ""},
		{"endless part header", func() (io.Reader, string) {
			return text("--b\r\nContent-Disposition: form-data; name=\"spec\"\r\nX: "+strings.Repeat("x", 200<<10), "multipart/form-data; boundary=b")
		}, 400, faas.Invalid, "header of a part"},
		{"giant spec", func() (io.Reader, string) { return body(part{"spec", "", strings.Repeat(" ", 70<<10)}, source) }, 413, faas.TooLarge, "64Ki"},
		{"giant source", func() (io.Reader, string) { return body(good, part{"source", "", strings.Repeat("x", 1<<20+1)}) }, 413, faas.TooLarge, "1Mi"},
		{"giant source first", func() (io.Reader, string) { return body(part{"source", "", strings.Repeat("x", 1<<20+1)}, good) }, 413, faas.TooLarge, "1Mi"},
		{"giant form", func() (io.Reader, string) { return body(good, part{"source", "", strings.Repeat("x", 3<<20)}) }, 413, faas.TooLarge, ""},
		{"another type", func() (io.Reader, string) { return text("x", "application/gzip") }, 400, faas.Invalid, "multipart/form-data"},
		{"broken type", func() (io.Reader, string) { return text("x", "a/b; c") }, 400, faas.Invalid, "Content-Type"},
		{"giant JSON", func() (io.Reader, string) {
			return text(`{"image": "`+strings.Repeat("x", 70<<10)+`"}`, "application/json")
		}, 413, faas.TooLarge, ""},
		{"no JSON", func() (io.Reader, string) { return text("x", "application/json") }, 400, faas.Invalid, ""},
		{"no image", func() (io.Reader, string) { return text("{}", "application/json") }, 422, faas.NotAllowed, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b, media := test.body()
			u.as("PUT", "/v1/functions/f", b, "Content-Type", media).wantProblem(t, test.status, test.kind, test.words)
			if len(u.registry.functions) != 0 {
				t.Fatal("something was registered")
			}
		})
	}
	for name, status := range map[string]int{
		"Upper": 422, "a.b": 422, strings.Repeat("a", 41): 422, "a%2Fb": 422, "%F0%9F%98%80": 422, "-a": 422, "a%00b": 422,
	} {
		p := u.as("PUT", "/v1/functions/"+name, strings.NewReader("{}"), "Content-Type", "application/json").problem(t)
		if p.Status != status || len(p.Errors) != 1 || p.Errors[0].Pointer != "/name" {
			t.Errorf("name %s: %+v", name, p)
		}
	}
	u.as("PUT", "/v1/functions/f?wait=soon", strings.NewReader("{}")).wantProblem(t, 400, faas.Invalid, "wait")
	b, media := formOf(t, good, source)
	u.as("PUT", "/v1/functions/f", b, "Content-Type", media, "Content-Encoding", "gzip").wantProblem(t, 400, faas.Invalid, "uncompressed")
}

func TestFunctions(t *testing.T) {
	u := startConsole(t, Limits{})
	for _, name := range []string{"a", "b", "c"} {
		u.putParts("/v1/functions/"+name+"?wait=9s", part{"spec", "", "{}"}, part{"source", "", "x"})
	}
	var page struct {
		Items []functionView
		Next  *string
	}
	u.as("GET", "/v1/functions?limit=2&cursor=abc", nil).decode(t, &page)
	if len(page.Items) != 2 || page.Items[1].Name != "b" || page.Next == nil || *page.Next != "next" || u.registry.limit != 2 || u.registry.cursor != "abc" {
		t.Fatalf("page %+v", page)
	}
	u.as("GET", "/v1/functions", nil).decode(t, &page)
	if len(page.Items) != 3 || page.Next != nil || u.registry.limit != 50 {
		t.Fatalf("page %+v", page)
	}
	for _, bad := range []string{"limit=0", "limit=1001", "limit=x", "limit=-1", "limit=٣", "cursor=" + strings.Repeat("x", 2000), "x=%zz"} {
		u.as("GET", "/v1/functions?"+bad, nil).wantProblem(t, 400, faas.Invalid)
	}
	u.as("GET", "/v1/functions/nope", nil).wantProblem(t, 404, faas.NotFound)
	u.as("GET", "/v1/functions/Nope", nil).wantProblem(t, 422, faas.NotAllowed)
	if got := u.as("HEAD", "/v1/functions/a", nil); got.StatusCode != 200 || len(got.body) > 0 {
		t.Fatalf("HEAD: %d", got.StatusCode)
	}
	u.putParts("/v1/functions/a?wait=9s", part{"spec", "", "{}"}, part{"source", "", "x"})
	var revisions list[faas.Revision]
	u.as("GET", "/v1/functions/a/revisions", nil).decode(t, &revisions)
	if len(revisions.Items) != 2 || revisions.Items[0].Number != 2 {
		t.Fatalf("revisions %+v", revisions)
	}
	var fn functionView
	rollback := func(body string) *answer {
		return u.as("POST", "/v1/functions/a/rollback", strings.NewReader(body), "Content-Type", "application/json")
	}
	rollback(`{"revision": 1}`).decode(t, &fn)
	if *fn.Live != 1 || fn.Revision != 2 {
		t.Fatalf("rolled back: %+v", fn)
	}
	rollback(`{"revision": 7}`).wantProblem(t, 404, faas.NotFound)
	rollback(`{"revision": 0}`).wantProblem(t, 422, faas.NotAllowed)
	rollback(`{}`).wantProblem(t, 422, faas.NotAllowed)
	rollback(`{"revision": "1"}`).wantProblem(t, 400, faas.Invalid)
	rollback(`{"revision": 1, "x": 2}`).wantProblem(t, 400, faas.Invalid, "x")
	rollback(`{"revision": 1} {}`).wantProblem(t, 400, faas.Invalid)
	rollback(``).wantProblem(t, 400, faas.Invalid, "empty")
	if got := u.as("GET", "/v1/functions/a/revisions/1/log?follow=true", nil); string(got.body) != "building\ndone\n" {
		t.Fatalf("log %q", got.body)
	}
	if got := u.as("GET", "/v1/functions/a/revisions/1/log?from=9", nil); string(got.body) != "done\n" {
		t.Fatalf("log %q", got.body)
	}
	if got := u.as("GET", "/v1/functions/a/revisions/1/log", nil, "Accept", "text/event-stream", "Last-Event-ID", "9"); !strings.Contains(string(got.body), "id: 14\ndata: done\n") {
		t.Fatalf("log events %q", got.body)
	}
	u.as("GET", "/v1/functions/a/revisions/x/log", nil).wantProblem(t, 404, faas.NotFound)
	u.as("GET", "/v1/functions/a/revisions/9/log", nil).wantProblem(t, 404, faas.NotFound)
	u.registry.triggers["t"] = &faas.Trigger{Name: "t"}
	u.as("DELETE", "/v1/functions/a", nil).wantProblem(t, 409, faas.Conflict)
	if got := u.as("DELETE", "/v1/functions/a?triggers=true", nil); got.StatusCode != 204 {
		t.Fatalf("delete: %d", got.StatusCode)
	}
	u.as("DELETE", "/v1/functions/a?triggers=true", nil).wantProblem(t, 404, faas.NotFound)
}

func TestTriggers(t *testing.T) {
	u := startConsole(t, Limits{})
	u.registry.put("echo", faas.FunctionSpec{}, "")
	put := func(body string) *answer {
		return u.as("PUT", "/v1/triggers/make", strings.NewReader(body), "Content-Type", "application/json")
	}
	const good = `{"function": "echo", "methods": ["GET", "POST"], "path": "/make/:size/*", "command": "convert {file:image}",
		"fields": [{"name": "image", "kind": "file", "required": true, "accept": "image/*"}, {"name": "n", "kind": "number", "default": "3"}, {"name": "o", "kind": "json"}]}`
	got := put(good)
	var view triggerView
	got.decode(t, &view)
	if got.StatusCode != 201 || got.Header.Get("Location") != "/v1/triggers/make" || view.Name != "make" || view.URL != "http://127.0.0.1:8081/make/:size/*" || len(view.Command) != 2 {
		t.Fatalf("got %d %s", got.StatusCode, got.body)
	}
	if got := put(good); got.StatusCode != 200 {
		t.Fatalf("again: %d", got.StatusCode)
	}
	if got := u.as("GET", "/v1/triggers/make", nil); got.StatusCode != 200 {
		t.Fatalf("get: %d", got.StatusCode)
	}
	var all list[triggerView]
	u.as("GET", "/v1/triggers", nil).decode(t, &all)
	if len(all.Items) != 1 || all.Next != nil {
		t.Fatalf("list %+v", all)
	}
	var doc struct {
		OpenAPI string
		Paths   map[string]map[string]any
	}
	u.as("GET", "/v1/triggers/make/openapi", nil).decode(t, &doc)
	if doc.OpenAPI != "3.1.0" || doc.Paths["/make/{size}/{rest}"]["post"] == nil || doc.Paths["/make/{size}/{rest}"]["put"] != nil {
		t.Fatalf("document %+v", doc)
	}
	put(`{"function": "nope", "methods": ["GET"], "path": "/x"}`).wantProblem(t, 422, faas.NotAllowed)
	put(`{"function": "echo", "methods": ["GET"], "path": "/x", "retries": 3}`).wantProblem(t, 422, faas.NotAllowed)
	put(`{"function": 3}`).wantProblem(t, 400, faas.Invalid)
	put(`[]`).wantProblem(t, 400, faas.Invalid)
	u.as("PUT", "/v1/triggers/make", strings.NewReader(good), "Content-Type", "text/plain").wantProblem(t, 400, faas.Invalid, "application/json")
	u.as("PUT", "/v1/triggers/Make", strings.NewReader(good)).wantProblem(t, 422, faas.NotAllowed)
	u.as("PUT", "/v1/triggers/make", strings.NewReader(strings.Repeat(" ", 2<<20)), "Content-Type", "application/json").wantProblem(t, 413, faas.TooLarge)
	u.as("PUT", "/v1/triggers/make", io.MultiReader(strings.NewReader(strings.Repeat(" ", 2<<20))), "Content-Type", "application/json").wantProblem(t, 413, faas.TooLarge)
	if got := u.as("DELETE", "/v1/triggers/make", nil); got.StatusCode != 204 {
		t.Fatalf("delete: %d", got.StatusCode)
	}
	u.as("DELETE", "/v1/triggers/make", nil).wantProblem(t, 404, faas.NotFound)
	u.as("GET", "/v1/triggers/make/openapi", nil).wantProblem(t, 404, faas.NotFound)
}

// Every trigger's own document is a valid OpenAPI document.
func TestTriggerDocumentsAreValid(t *testing.T) {
	text := "x"
	for _, trigger := range []faas.Trigger{
		{Name: "a", TriggerSpec: faas.TriggerSpec{Function: "f", Methods: []string{"GET", "POST", "PUT"}, Path: "/a/:b/c/:d"}},
		{Name: "b", TriggerSpec: faas.TriggerSpec{Function: "f", Methods: []string{"POST"}, Path: "/:rest/*", Access: faas.AccessToken, Response: faas.ResponseAuto, Fields: []faas.Field{
			{Name: "n", Kind: faas.FieldNumber, Required: true},
			{Name: "t", Kind: faas.FieldText, Default: &text, Description: "words"},
			{Name: "f", Kind: faas.FieldFile, Accept: "image/*", Required: true},
			{Name: "j", Kind: faas.FieldJSON},
		}}},
	} {
		b, err := json.Marshal(describeTrigger(&trigger, "http://127.0.0.1:8081"))
		if err != nil {
			t.Fatal(err)
		}
		if err := validDocument(t.Context(), b); err != nil {
			t.Errorf("%s: %v\n%s", trigger.Name, err, b)
		}
	}
}

func TestRegisterForm(t *testing.T) {
	u := startConsole(t, Limits{})
	body, media := formOf(t, part{"kind", "", "files"}, part{"name", "", "fromform"}, part{"file", "a.tgz", "archive"}, part{"command", "", " sh -c x "}, part{"arguments", "", ""})
	got := u.as("POST", "/register", body, "Content-Type", media, "Accept", "text/html")
	if got.StatusCode != 303 || got.Header.Get("Location") != "/" {
		t.Fatalf("got %d %s", got.StatusCode, got.body)
	}
	if u.registry.file != "archive" || u.registry.form.Values["command"][0] != " sh -c x " || u.registry.form.Values["arguments"][0] != "" {
		t.Fatalf("form %+v, file %q", u.registry.form.Values, u.registry.file)
	}
	form := func(values, accept string) *answer {
		return u.as("POST", "/register", strings.NewReader(values), "Content-Type", "application/x-www-form-urlencoded", "Accept", accept)
	}
	if got := form("kind=trigger&url=/go&method=get&method=post", "application/json"); got.StatusCode != 201 || len(u.registry.form.Values["method"]) != 2 || u.registry.form.File != nil {
		t.Fatalf("trigger: %d %s", got.StatusCode, got.body)
	}
	if got := form("kind=trigger&url=/go&method=get", "application/json"); got.StatusCode != 200 {
		t.Fatalf("trigger again: %d", got.StatusCode)
	}
	if got := form("kind=files", "application/json"); got.StatusCode != 200 {
		t.Fatalf("files: %d %s", got.StatusCode, got.body)
	}
	u.registry.end = faas.RevisionBuilding // for longer than the form waits
	if got := form("kind=files", "application/json"); got.StatusCode != 202 {
		t.Fatalf("files, a long build: %d %s", got.StatusCode, got.body)
	}
	u.registry.end = faas.RevisionFailed
	form("kind=files", "application/json").wantProblem(t, 422, faas.BuildFailed)
	if got := form("kind=files", "text/html"); got.StatusCode != 422 || !strings.Contains(got.Header.Get("Content-Type"), "text/html") {
		t.Fatalf("a failed build on the page: %d %s", got.StatusCode, got.body)
	}
	p := form("kind=x", "application/json").wantProblem(t, 422, faas.NotAllowed)
	if p.Errors[0].Pointer != "/kind" {
		t.Fatalf("errors %+v", p.Errors)
	}
	got = form("kind=x", "text/html,*/*")
	if got.StatusCode != 422 || !strings.Contains(string(got.body), "must be files &lt;or&gt; trigger") || !strings.HasPrefix(got.Header.Get("Content-Type"), "text/html") {
		t.Fatalf("page: %d %s", got.StatusCode, got.body)
	}
	if csp := got.Header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'; style-src 'sha256-") {
		t.Fatalf("policy %q", csp)
	}
	form("kind=%zz", "application/json").wantProblem(t, 400, faas.Invalid)
	u.as("POST", "/register", strings.NewReader("{}"), "Content-Type", "application/json").wantProblem(t, 400, faas.Invalid, "form")
	body, media = formOf(t, part{"kind", "", "files"}, part{"file", "a", "x"}, part{"file", "b", "y"})
	u.as("POST", "/register", body, "Content-Type", media).wantProblem(t, 400, faas.Invalid, "two files")
	body, media = formOf(t, part{"kind", "", "trigger"}, part{"file", "", ""})
	u.as("POST", "/register", body, "Content-Type", media)
	if u.registry.form.File != nil {
		t.Fatal("an empty file was handed on")
	}
	var many []part
	for range 200 {
		many = append(many, part{"kind", "", "x"})
	}
	body, media = formOf(t, many...)
	u.as("POST", "/register", body, "Content-Type", media).wantProblem(t, 400, faas.Invalid, "100 fields")
	if got := u.do("GET", "/user.html", nil); got.StatusCode != 303 || got.Header.Get("Location") != "/" {
		t.Fatalf("user.html: %d", got.StatusCode)
	}
}
