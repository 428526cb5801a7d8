package spec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"davit/internal/faas"
)

const (
	maxSpecBytes  = 1 << 20
	maxSpecDepth  = 32
	maxSpecValues = 50_000
)

// jsonKind is what a JSON value is, as messages call it.
type jsonKind string

const (
	jsonNull   jsonKind = "null"
	jsonBool   jsonKind = "true or false"
	jsonNumber jsonKind = "a number"
	jsonString jsonKind = "a string"
	jsonList   jsonKind = "a list"
	jsonObject jsonKind = "an object"
)

// jsonValue is one value of a JSON text and where in it it stands.
type jsonValue struct {
	pointer string // RFC 6901
	kind    jsonKind
	raw     []byte       // as it was written
	text    string       // of a string: its characters; of a number: as it was written
	list    []jsonValue  // of a list
	members []jsonMember // of an object, in order, each name once
}

type jsonMember struct {
	name  string
	value jsonValue
}

// readJSON reads one JSON value and refuses what encoding/json lets pass: two members of one name, more data after the
// value, text that is no UTF-8, half surrogate pairs, too much nesting. The error is Invalid and points at the fault.
func readJSON(b []byte) (jsonValue, error) {
	switch {
	case len(b) > maxSpecBytes:
		return jsonValue{}, faas.Errorf(faas.TooLarge, "the JSON has %d bytes; at most %d are allowed", len(b), maxSpecBytes)
	case len(bytes.TrimSpace(b)) == 0:
		return jsonValue{}, malformed("", "is empty; send a JSON object")
	case !utf8.Valid(b):
		return jsonValue{}, malformed("", "is no UTF-8")
	}
	r := jsonReader{text: b, tokens: json.NewDecoder(bytes.NewReader(b))}
	r.tokens.UseNumber()
	v, err := r.value("", 0)
	if err != nil {
		return jsonValue{}, err
	}
	if _, err := r.tokens.Token(); !errors.Is(err, io.EOF) {
		return jsonValue{}, malformed("", "is followed by more data; send one JSON object")
	}
	return v, nil
}

// malformed returns an Invalid error about one place.
func malformed(pointer, detail string) *faas.Error {
	return fieldsError(faas.Invalid, []faas.FieldError{{Pointer: pointer, Detail: detail}})
}

// fieldsError returns an error about one place or several, and tells the first in its detail.
func fieldsError(kind faas.Kind, fields []faas.FieldError) *faas.Error {
	where := fields[0].Pointer
	if where == "" {
		where = "the JSON"
	}
	detail := where + " " + fields[0].Detail
	if more := len(fields) - 1; more > 0 {
		detail = fmt.Sprintf("%s (and %d more)", detail, more)
	}
	return &faas.Error{Kind: kind, Detail: detail, Fields: fields}
}

// jsonReader is the state of readJSON.
type jsonReader struct {
	text   []byte
	tokens *json.Decoder
	values int
}

// token returns the next token and how it is written.
func (r *jsonReader) token(pointer string) (json.Token, []byte, error) {
	before := r.tokens.InputOffset()
	t, err := r.tokens.Token()
	if err != nil {
		return nil, nil, r.broken(pointer, err)
	}
	raw := bytes.TrimLeft(r.text[before:r.tokens.InputOffset()], " \t\r\n,:")
	if s, ok := t.(string); ok && halfSurrogate(s, raw) {
		return nil, nil, malformed(pointer, "holds half a surrogate pair, which is no character")
	}
	return t, raw, nil
}

func (r *jsonReader) broken(pointer string, err error) error {
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return malformed(pointer, fmt.Sprintf("is no JSON: %v, at byte %d", syntax, syntax.Offset))
	}
	return malformed(pointer, fmt.Sprintf("is no JSON: it ends too early, at byte %d", len(r.text)))
}

// halfSurrogate reports whether s holds more replacement characters than were written: encoding/json puts one where an
// escape is half a pair.
func halfSurrogate(s string, raw []byte) bool {
	const replacement = string(utf8.RuneError)
	got := strings.Count(s, replacement)
	if got == 0 {
		return false
	}
	written := bytes.Count(raw, []byte(replacement)) + bytes.Count(bytes.ToLower(raw), []byte(`\ufffd`))
	return got > written
}

func (r *jsonReader) value(pointer string, depth int) (jsonValue, error) {
	t, raw, err := r.token(pointer)
	if err != nil {
		return jsonValue{}, err
	}
	if r.values++; r.values > maxSpecValues {
		return jsonValue{}, malformed(pointer, fmt.Sprintf("is beyond the first %d values, which is too many", maxSpecValues))
	}
	v := jsonValue{pointer: pointer, raw: raw}
	switch t := t.(type) {
	case nil:
		v.kind = jsonNull
	case bool:
		v.kind = jsonBool
	case json.Number:
		v.kind, v.text = jsonNumber, t.String()
	case string:
		v.kind, v.text = jsonString, t
	case json.Delim:
		return r.nested(v, t, depth+1)
	}
	return v, nil
}

// nested reads the rest of a list or an object.
func (r *jsonReader) nested(v jsonValue, open json.Delim, depth int) (jsonValue, error) {
	if depth > maxSpecDepth {
		return v, malformed(v.pointer, fmt.Sprintf("is nested deeper than %d levels", maxSpecDepth))
	}
	start := r.tokens.InputOffset() - 1
	read := r.list
	v.kind = jsonList
	if open == '{' {
		read = r.object
		v.kind = jsonObject
	}
	if err := read(&v, depth); err != nil {
		return v, err
	}
	if _, _, err := r.token(v.pointer); err != nil {
		return v, err
	}
	v.raw = r.text[start:r.tokens.InputOffset()]
	return v, nil
}

func (r *jsonReader) list(v *jsonValue, depth int) error {
	for r.tokens.More() {
		item, err := r.value(v.pointer+"/"+strconv.Itoa(len(v.list)), depth)
		if err != nil {
			return err
		}
		v.list = append(v.list, item)
	}
	return nil
}

func (r *jsonReader) object(v *jsonValue, depth int) error {
	seen := map[string]bool{}
	for r.tokens.More() {
		t, _, err := r.token(v.pointer)
		if err != nil {
			return err
		}
		name, _ := t.(string)
		pointer := memberPointer(v.pointer, name)
		if seen[name] {
			return malformed(pointer, "is there twice")
		}
		seen[name] = true
		item, err := r.value(pointer, depth)
		if err != nil {
			return err
		}
		v.members = append(v.members, jsonMember{name: name, value: item})
	}
	return nil
}

// memberPointer returns the JSON pointer (RFC 6901) to a member of an object.
func memberPointer(object, name string) string {
	return object + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(faas.Clip(name))
}
