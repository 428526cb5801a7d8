package spec

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"davit/internal/faas"
)

// maxFieldErrors is how many faults one answer lists.
const maxFieldErrors = 100

// decoding collects what is wrong with a spec while it is read.
type decoding struct {
	malformed []faas.FieldError // not of the form that the field has
	refused   []faas.FieldError // well formed, but not allowed
}

// reader reads one member of an object.
type reader func(v jsonValue)

// readers are the members that an object may have.
type readers map[string]reader

// decodeSpec reads one JSON object. The error is Invalid if anything is malformed, else NotAllowed if anything is
// refused, and names each place.
func decodeSpec(b []byte, read func(d *decoding) readers) error {
	v, err := readJSON(b)
	if err != nil {
		return err
	}
	d := &decoding{}
	d.object(v, read(d))
	switch {
	case len(d.malformed) > 0:
		return fieldsError(faas.Invalid, d.malformed[:min(len(d.malformed), maxFieldErrors)])
	case len(d.refused) > 0:
		return fieldsError(faas.NotAllowed, d.refused[:min(len(d.refused), maxFieldErrors)])
	}
	return nil
}

func (d *decoding) bad(v jsonValue, format string, args ...any) {
	d.malformed = append(d.malformed, faas.FieldError{Pointer: v.pointer, Detail: fmt.Sprintf(format, args...)})
}

func (d *decoding) refuse(v jsonValue, format string, args ...any) {
	d.refused = append(d.refused, faas.FieldError{Pointer: v.pointer, Detail: fmt.Sprintf(format, args...)})
}

func (d *decoding) is(v jsonValue, kind jsonKind) bool {
	if v.kind != kind {
		d.bad(v, "must be %s, not %s", kind, v.kind)
	}
	return v.kind == kind
}

// object reads the members of v; null stands for a member that is not there.
func (d *decoding) object(v jsonValue, known readers) {
	if !d.is(v, jsonObject) {
		return
	}
	for _, m := range v.members {
		read, ok := known[m.name]
		switch {
		case !ok:
			d.bad(m.value, "is unknown here; the fields are %s", strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		case m.value.kind != jsonNull:
			read(m.value)
		}
	}
}

// text returns a reader of a string.
func text[T ~string](d *decoding, into *T) reader {
	return func(v jsonValue) {
		if d.is(v, jsonString) {
			*into = T(v.text)
		}
	}
}

func (d *decoding) flag(into *bool) reader {
	return func(v jsonValue) {
		if d.is(v, jsonBool) {
			*into = string(v.raw) == "true"
		}
	}
}

func (d *decoding) whole(into *int) reader {
	return func(v jsonValue) {
		if !d.is(v, jsonNumber) {
			return
		}
		n, err := strconv.ParseInt(v.text, 10, 32)
		if err != nil {
			d.bad(v, "%s is no whole number, or too large a one", faas.Clip(v.text))
			return
		}
		*into = int(n)
	}
}

// texts returns a reader of a list of strings.
func (d *decoding) texts(into *[]string) reader {
	return func(v jsonValue) {
		if !d.is(v, jsonList) {
			return
		}
		list := make([]string, 0, len(v.list))
		for _, item := range v.list {
			if d.is(item, jsonString) {
				list = append(list, item.text)
			}
		}
		*into = list
	}
}

// textMap returns a reader of an object of strings.
func (d *decoding) textMap(into *map[string]string) reader {
	return func(v jsonValue) {
		if !d.is(v, jsonObject) {
			return
		}
		m := make(map[string]string, len(v.members))
		for _, member := range v.members {
			if d.is(member.value, jsonString) {
				m[member.name] = member.value.text
			}
		}
		*into = m
	}
}

// command returns a reader of a list of strings, or of one that is split into words.
func (d *decoding) command(into *faas.Command) reader {
	return func(v jsonValue) {
		switch v.kind {
		case jsonList:
			d.texts((*[]string)(into))(v)
		case jsonString:
			words, err := faas.SplitWords(v.text)
			if err != nil {
				d.bad(v, "cannot be split into words: %v", err)
				return
			}
			*into = words
		case jsonNull, jsonBool, jsonNumber, jsonObject:
			d.bad(v, "must be a list of strings, or one string that is split into words, not %s", v.kind)
		}
	}
}

func (d *decoding) duration(into *faas.Duration) reader {
	return func(v jsonValue) {
		if v.kind == jsonNumber {
			d.bad(v, "%s has no unit; write a string such as \"90s\" or \"5m\"", faas.Clip(v.text))
			return
		}
		if !d.is(v, jsonString) {
			return
		}
		n, err := faas.ParseDuration(v.text)
		if err != nil {
			d.bad(v, "%v", err)
			return
		}
		*into = n
	}
}

func (d *decoding) size(into *faas.Bytes) reader {
	return func(v jsonValue) {
		if v.kind != jsonNumber && !d.is(v, jsonString) {
			return
		}
		n, err := faas.ParseBytes(v.text)
		if err != nil {
			d.bad(v, "%v", err)
			return
		}
		*into = n
	}
}

// written returns a reader of a string, or of a number as it is written.
func written[T ~string](d *decoding, into *T) reader {
	return func(v jsonValue) {
		if v.kind == jsonNumber || d.is(v, jsonString) {
			*into = T(v.text)
		}
	}
}

// nonZero refuses a zero that was written, since the zero value of a spec's field means its default.
func nonZero[T comparable](d *decoding, into *T, read func(*T) reader) reader {
	return func(v jsonValue) {
		before := len(d.malformed)
		read(into)(v)
		var zero T
		if *into == zero && len(d.malformed) == before {
			d.refuse(v, "must be more than 0; leave it out for the default")
		}
	}
}

// unavailable refuses a field whose part is not in this release.
func (d *decoding) unavailable(v jsonValue) {
	d.refuse(v, "is not available yet; leave it out")
}

// DecodeTexts reads a JSON list of strings. isJSON is false when b is no JSON at all; err says which element is no
// string.
func DecodeTexts(b []byte) (list []string, isJSON bool, err error) {
	v, err := readJSON(b)
	if err != nil {
		return nil, false, err
	}
	d := &decoding{}
	if d.texts(&list)(v); len(d.malformed) > 0 {
		return nil, true, fmt.Errorf("%s %s", d.malformed[0].Pointer, d.malformed[0].Detail)
	}
	return list, true, nil
}
