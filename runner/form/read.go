package form

import (
	"bytes"
	"io"
	"mime"
	"strings"

	"davit/internal/faas"
)

// AddPath adds the fields of the path, pairs of name and value.
func (in *Input) AddPath(fields [][2]string) error {
	for _, f := range fields {
		if err := in.add(f[0], f[1]); err != nil {
			return err
		}
	}
	return nil
}

// AddQuery adds the fields of a raw query except Davit's own davit-format.
func (in *Input) AddQuery(query string) error {
	return in.addPairs(query, "the query", func(name string) bool { return name != "davit-format" })
}

// ReadBody reads a body to its end, or to the first fault. An error that is not a *Fault is an error of body or of the
// Creator.
func (in *Input) ReadBody(body io.Reader, contentType string, declared []faas.Field) error {
	kind, params, err := mime.ParseMediaType(contentType)
	switch {
	case kind == "multipart/form-data", err != nil && strings.HasPrefix(strings.ToLower(strings.TrimSpace(contentType)), "multipart/form-data"):
		if err != nil {
			return Faultf("the Content-Type cannot be read (%v); send multipart/form-data; boundary=…", err)
		}
		return in.readMultipart(body, params["boundary"])
	case kind == "application/x-www-form-urlencoded":
		return in.readEncoded(body)
	case isJSON(kind) && len(declared) > 0:
		return in.readJSON(body, declared)
	}
	return in.readRaw(body, contentType)
}

func isJSON(kind string) bool {
	return kind == "application/json" || strings.HasPrefix(kind, "application/") && strings.HasSuffix(kind, "+json")
}

// readRaw adds a body that is not a form as a file; an empty body adds none.
func (in *Input) readRaw(body io.Reader, contentType string) error {
	first := make([]byte, 512)
	n, err := io.ReadFull(body, first)
	if err == nil { // a small file goes in one write; the first read stays small because most bodies are empty
		var more int
		first = append(first, make([]byte, 4<<10)...)
		more, err = io.ReadFull(body, first[n:])
		n += more
	}
	whole := err == io.EOF || err == io.ErrUnexpectedEOF
	if whole && n == 0 {
		return nil
	}
	if err != nil && !whole {
		return err
	}
	from := io.Reader(bytes.NewReader(first[:n]))
	if !whole {
		from = io.MultiReader(from, body)
	}
	return in.keep(File{Field: BodyName, Name: BodyName, ContentType: contentType}, from)
}
