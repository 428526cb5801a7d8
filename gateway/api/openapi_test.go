package api

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"davit/internal/text"
)

// document is the description, and which of its operations the tests have met.
type document struct {
	*openapi3.T
	mu  sync.Mutex
	met map[string]bool
}

var loaded = sync.OnceValues(func() (*document, error) {
	doc, err := openapi3.NewLoader().LoadFromData(description)
	if err != nil {
		return nil, err
	}
	if err := doc.Validate(context.Background()); err != nil {
		return nil, err
	}
	return &document{T: doc, met: make(map[string]bool)}, nil
})

// find returns the operation that a request is for: the template with the
// fewest parameters. Paths that nobody serves have none.
func (d *document) find(listener, method, path string) (template string, item *openapi3.PathItem, params map[string]string) {
	calls := listener == "calls"
	if calls && !strings.HasPrefix(path, "/-/") {
		template, params = "/{trigger}", map[string]string{"trigger": path}
		item = d.Paths.Value(template)
	}
	least := 100
	for t, i := range d.Paths.Map() {
		if strings.HasPrefix(t, "/-/") != calls || t == "/{trigger}" {
			continue
		}
		if p, ok := matchTemplate(t, path); ok && len(p) < least {
			template, item, params, least = t, i, p, len(p)
		}
	}
	if item == nil || item.GetOperation(method) == nil {
		return "", nil, nil
	}
	return template, item, params
}

func matchTemplate(template, path string) (map[string]string, bool) {
	params := make(map[string]string)
	want, got := strings.Split(template, "/"), strings.Split(path, "/")
	for i, segment := range want {
		if i >= len(got) {
			return nil, false
		}
		name, isParam := strings.CutPrefix(segment, "{")
		name = strings.TrimSuffix(name, "}")
		switch {
		case isParam && name == "path":
			params[name] = strings.Join(got[i:], "/")
			return params, true
		case isParam:
			params[name] = got[i]
		case segment != got[i]:
			return nil, false
		}
	}
	return params, len(want) == len(got)
}

// described checks an answer against the description. Answers to what nobody
// serves have to be problems as all others.
func described(t testing.TB, listener string, req *http.Request, a *answer) {
	t.Helper()
	doc, err := loaded()
	if err != nil {
		t.Fatalf("openapi.yaml: %v", err)
	}
	method := req.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	template, item, params := doc.find(listener, method, req.URL.EscapedPath())
	if item == nil || a.StatusCode == http.StatusMethodNotAllowed {
		template, item, params = "/", doc.Paths.Value("/"), nil
		method = http.MethodGet
		if a.StatusCode < 400 {
			return // a file of the page
		}
	} else {
		doc.meet(item.GetOperation(method).OperationID, a.StatusCode)
	}
	in := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{
			Request: req, PathParams: params,
			Route: &routers.Route{Spec: doc.T, Path: template, PathItem: item, Method: method, Operation: item.GetOperation(method)},
		},
		Status: a.StatusCode, Header: a.Header, Body: io.NopCloser(bytes.NewReader(a.body)),
		Options: &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true, ExcludeResponseBody: !isJSON(a)},
	}
	if err := openapi3filter.ValidateResponse(t.Context(), in); err != nil {
		t.Errorf("%s %s answered with %d, which %s does not describe: %v\n%s", req.Method, req.URL, a.StatusCode, template, err, text.Clip(string(a.body), 600))
	}
	if response := in.RequestValidationInput.Route.Operation.Responses.Status(a.StatusCode); response != nil || a.StatusCode >= 400 {
		checkMedia(t, template, item.GetOperation(method), a)
	}
}

func isJSON(a *answer) bool {
	media := a.Header.Get("Content-Type")
	return len(a.body) > 0 && (media == "application/json" || media == problemType)
}

// checkMedia checks that the description has the answer's content type, which
// the library leaves alone where the body is not read.
func checkMedia(t testing.TB, template string, op *openapi3.Operation, a *answer) {
	t.Helper()
	response := op.Responses.Status(a.StatusCode)
	if response == nil {
		response = op.Responses.Default()
	}
	if response == nil {
		t.Errorf("%s: no response %d is described", template, a.StatusCode)
		return
	}
	media := a.Header.Get("Content-Type")
	if media == "" && len(a.body) == 0 || response.Value.Content.Get(media) != nil {
		return
	}
	t.Errorf("%s: response %d is described without %s", template, a.StatusCode, media)
}

func (d *document) meet(operation string, status int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.met[operation] = true
	d.met[fmt.Sprintf("%s %d", operation, status)] = true
}

// unmet are the operations, and their answers other than the default one, that no test
// has met.
func (d *document) unmet() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var missing []string
	for template, item := range d.Paths.Map() {
		for method, op := range item.Operations() {
			if !d.met[op.OperationID] {
				missing = append(missing, method+" "+template)
			}
			for status := range op.Responses.Map() {
				if status != "default" && !d.met[op.OperationID+" "+status] {
					missing = append(missing, method+" "+template+" "+status)
				}
			}
		}
	}
	return missing
}

func validDocument(ctx context.Context, b []byte) error {
	doc, err := openapi3.NewLoader().LoadFromData(b)
	if err != nil {
		return err
	}
	return doc.Validate(ctx)
}
