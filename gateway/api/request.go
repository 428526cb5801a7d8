package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"davit/gateway/edge"
	"davit/internal/faas"
	"davit/internal/text"
)

// The media types of bodies.
const (
	mediaJSON      = "application/json"
	mediaForm      = "application/x-www-form-urlencoded"
	mediaMultipart = "multipart/form-data"
)

// param returns a part of the path, percent-decoded.
func param(r *edge.Request, name string) (string, error) {
	s, err := url.PathUnescape(r.Param(name))
	if err != nil {
		return "", faas.Errorf(faas.Invalid, "the path is not percent-encoded as it should be")
	}
	return s, nil
}

// pathName returns the name in the path, or an error if it breaks the rules for such names.
func pathName[N interface {
	~string
	Check() string
}](r *edge.Request,
) (N, error) {
	s, err := param(r, "name")
	if err != nil {
		return "", err
	}
	name := N(s)
	if why := name.Check(); why != "" {
		e := faas.Errorf(faas.NotAllowed, "the name %s", why)
		e.Fields = []faas.FieldError{{Pointer: "/name", Detail: why}}
		return "", e
	}
	return name, nil
}

func pathInvocation(r *edge.Request) (faas.InvocationID, error) {
	s, err := param(r, "id")
	if err != nil {
		return "", err
	}
	return faas.ParseInvocationID(s)
}

func pathRevision(r *edge.Request) (faas.RevisionRef, error) {
	name, err := pathName[faas.FunctionName](r)
	if err != nil {
		return faas.RevisionRef{}, err
	}
	n, err := strconv.ParseUint(r.Param("n"), 10, 31)
	if err != nil || n == 0 {
		return faas.RevisionRef{}, faas.Errorf(faas.NotFound, "function %q has no revision %q: revisions are numbered from 1", name, text.Clip(r.Param("n"), 20))
	}
	return faas.RevisionRef{Function: name, Number: faas.RevisionNumber(n)}, nil
}

// query is the request's query. Its readers keep their first error in err.
type query struct {
	values url.Values
	err    error
}

func readQuery(r *edge.Request) *query {
	values, err := url.ParseQuery(r.RawQuery())
	q := &query{values: values}
	if err != nil {
		q.err = faas.Errorf(faas.Invalid, "the query is not percent-encoded as it should be")
	}
	return q
}

func (q *query) fail(name, format string, args ...any) {
	if q.err != nil {
		return
	}
	e := faas.Errorf(faas.Invalid, "the query's "+name+" "+format, args...)
	q.err = e
}

func (q *query) text(name string) string { return q.values.Get(name) }

// flag reports true for ?name, ?name=true and ?name=1.
func (q *query) flag(name string) bool {
	if !q.values.Has(name) {
		return false
	}
	switch v := q.values.Get(name); v {
	case "", "true", "1":
		return true
	case "false", "0":
		return false
	default:
		q.fail(name, "is %q; it must be true or false", text.Clip(v, 40))
		return false
	}
}

const (
	defaultLimit = 50
	mostLimit    = 1000
	mostCursor   = 1024
)

// page reads the parameters that all lists take.
func (q *query) page() (limit int, cursor string) {
	limit, cursor = defaultLimit, q.text("cursor")
	if v := q.text("limit"); v != "" {
		n, err := strconv.ParseUint(v, 10, 31)
		if err != nil || n < 1 || n > mostLimit {
			q.fail("limit", "is %q; it must be a whole number from 1 to %d", text.Clip(v, 40), mostLimit)
		}
		limit = int(n)
	}
	if len(cursor) > mostCursor {
		q.fail("cursor", "has %d characters; send back a list's next as it was", len(cursor))
	}
	return limit, cursor
}

// duration reads a Go duration from 0 to most; 0 if the query has none.
func (q *query) duration(name string, most time.Duration) time.Duration {
	v := q.text(name)
	if v == "" {
		return 0
	}
	d, err := faas.ParseDuration(v)
	if err != nil {
		q.fail(name, "is wrong: %v", err)
		return 0
	}
	if d < 0 || d.Std() > most {
		q.fail(name, "is %q; it must be from 0s to %s", text.Clip(v, 40), faas.Duration(most))
		return 0
	}
	return d.Std()
}

// offset reads a number of bytes.
func (q *query) offset(name string) int64 {
	v := q.text(name)
	if v == "" {
		return 0
	}
	n, err := strconv.ParseUint(v, 10, 63)
	if err != nil {
		q.fail(name, "is %q; it must be a number of bytes", text.Clip(v, 40))
		return 0
	}
	return int64(n)
}

// mediaType returns the media type of the body in lower case, and its parameters; "" if the request names none.
func mediaType(r *edge.Request) (string, map[string]string, error) {
	v := r.Header("Content-Type")
	if v == "" {
		return "", nil, nil
	}
	media, params, err := mime.ParseMediaType(v)
	if err != nil {
		return "", nil, faas.Errorf(faas.Invalid, "the Content-Type %q cannot be read", text.Clip(v, 80))
	}
	return media, params, nil
}

// refuseEncoded refuses a compressed body, because bodies are stored as received and their readers do not decompress
// them.
func refuseEncoded(r *edge.Request) error {
	if v := r.Header("Content-Encoding"); v != "" && !strings.EqualFold(v, "identity") {
		return faas.Errorf(faas.Invalid, "the body is sent with Content-Encoding %q; send it uncompressed", text.Clip(v, 40))
	}
	return nil
}

// readJSON reads a JSON body of at most most bytes.
func readJSON(r *edge.Request, most int64) ([]byte, error) {
	media, _, err := mediaType(r)
	if err != nil {
		return nil, err
	}
	if media != "" && media != mediaJSON {
		return nil, faas.Errorf(faas.Invalid, "the body is sent as %s; send it as application/json", text.Clip(media, 80))
	}
	return readAll(r, most)
}

// readAll reads a body of at most most bytes.
func readAll(r *edge.Request, most int64) ([]byte, error) {
	if err := refuseEncoded(r); err != nil {
		return nil, err
	}
	body, err := r.Body(most)
	if err != nil || body == nil {
		return nil, err
	}
	b, err := io.ReadAll(body)
	if err != nil {
		return nil, err
	}
	return b, nil
}

// decodeJSON decodes one JSON object. Unknown fields, and anything after the object, are errors.
func decodeJSON(b []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil {
		if _, after := d.Token(); errors.Is(after, io.EOF) {
			return nil
		}
		err = errors.New("something follows it")
	}
	if errors.Is(err, io.EOF) {
		err = errors.New("it is empty")
	}
	return faas.Errorf(faas.Invalid, "the body is not the JSON object that belongs here: %s", strings.TrimPrefix(err.Error(), "json: "))
}

// accepts reports whether the Accept header names media with a quality above 0. Wildcards do not count.
func accepts(r *edge.Request, media string) bool {
	for part := range strings.SplitSeq(r.Header("Accept"), ",") {
		name, params, err := mime.ParseMediaType(part)
		if err != nil || name != media {
			continue
		}
		if q, err := strconv.ParseFloat(params["q"], 64); err == nil && q <= 0 {
			continue
		}
		return true
	}
	return false
}

// sendJSON answers with v.
func sendJSON(r *edge.Request, status int, v any) error {
	r.Set("Content-Type", mediaJSON)
	r.Set("Cache-Control", "no-store")
	r.Send(status, encode(v))
	return nil
}

// sendNothing answers with 204.
func sendNothing(r *edge.Request) error {
	r.Send(http.StatusNoContent, nil)
	return nil
}

// redirectTo answers with 303.
func redirectTo(r *edge.Request, to string) error {
	r.Send(http.StatusSeeOther, nil)
	r.Set("Location", to)
	r.Set("Cache-Control", "no-store")
	return nil
}

// list is a page of a list.
type list[T any] struct {
	Items []T     `json:"items"`
	Next  *string `json:"next"`
}

func listOf[T any](items []T, next string) list[T] {
	l := list[T]{Items: items}
	if items == nil {
		l.Items = []T{}
	}
	if next != "" {
		l.Next = &next
	}
	return l
}
