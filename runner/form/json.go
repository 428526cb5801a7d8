package form

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"davit/internal/faas"
)

// readJSON reads a JSON object. Its declared members become fields.
func (in *Input) readJSON(body io.Reader, declared []faas.Field) error {
	text, err := readText(body, "the JSON body")
	if err != nil || len(text) == 0 {
		return err
	}
	if err := checkJSON(text); err != nil {
		return err
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil || members == nil {
		return Faultf("the JSON body is not an object; send {\"name\": value, …}")
	}
	for i := range declared {
		raw, there := members[declared[i].Name]
		if !there || string(raw) == "null" {
			continue
		}
		if err := in.addMember(&declared[i], raw); err != nil {
			return err
		}
	}
	return nil
}

// addMember adds the value of a declared field.
func (in *Input) addMember(f *faas.Field, raw json.RawMessage) error {
	switch {
	case f.Kind == faas.FieldFile:
		return Faultf("field %q is a file, which JSON cannot carry; send multipart/form-data", clip(f.Name))
	case f.Kind == faas.FieldJSON:
		return in.add(f.Name, string(raw))
	case raw[0] == '"':
		var s string
		if err := json.Unmarshal(raw, &s); err != nil {
			return Faultf("field %q: %v", clip(f.Name), err)
		}
		return in.add(f.Name, s)
	case raw[0] == '{' || raw[0] == '[':
		return Faultf("field %q is an object or a list; declare it as kind \"json\" to accept such values", clip(f.Name))
	}
	return in.add(f.Name, string(raw))
}

// checkJSON refuses what the standard decoder accepts: text that is not UTF-8, two members of an object with one name,
// and any depth of nesting.
func checkJSON(text []byte) error {
	if !utf8.Valid(text) {
		return Faultf("the JSON text is not UTF-8; send it in UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var open []object
	for {
		token, err := d.Token()
		if err == io.EOF && len(open) == 0 { //nolint:errorlint // returned bare
			return nil
		}
		if err != nil {
			return malformedJSON(err, d.InputOffset())
		}
		if open, err = follow(open, token); err != nil {
			return err
		}
	}
}

func malformedJSON(err error, at int64) *Fault {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return Faultf("the JSON text ends too early, at byte %d; send it whole", at)
	}
	return Faultf("the JSON text is malformed at byte %d (%s); send one JSON object", at, clip(err.Error()))
}

// object is an object or list whose end was not read yet.
type object struct {
	names map[string]bool // nil: a list
	value bool            // a name was read and its value is next
}

// follow applies a token to the stack of open objects and lists, and returns the stack.
func follow(open []object, token json.Token) ([]object, error) {
	if delim, is := token.(json.Delim); is && (delim == '}' || delim == ']') {
		return afterValue(open[:len(open)-1]), nil
	}
	if top := len(open) - 1; top >= 0 && open[top].names != nil && !open[top].value {
		name := fmt.Sprint(token)
		if open[top].names[name] {
			return nil, Faultf("the JSON text has the name %q twice in one object; send it once", clip(name))
		}
		open[top].names[name], open[top].value = true, true
		return open, nil
	}
	switch token {
	case json.Delim('{'):
		open = append(open, object{names: map[string]bool{}})
	case json.Delim('['):
		open = append(open, object{})
	default:
		return afterValue(open), nil
	}
	if len(open) > maxJSONDepth {
		return nil, Faultf("the JSON text is nested deeper than %d levels; send it flatter, or as a file", maxJSONDepth)
	}
	return open, nil
}

// afterValue records in the innermost object that a value has ended.
func afterValue(open []object) []object {
	if len(open) > 0 {
		open[len(open)-1].value = false
	}
	return open
}
