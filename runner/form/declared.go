package form

import (
	"bytes"
	"encoding/json"

	"davit/internal/faas"
)

// Declare checks the input against the fields that a trigger declares, and adds the defaults of missing ones. Fields
// that are not declared stay as they are. A bad input is a *Fault.
func (in *Input) Declare(declared []faas.Field) error {
	for i := range declared {
		f := &declared[i]
		if err := in.checkKind(f); err != nil {
			return err
		}
		if in.has(f.Name) {
			continue
		}
		switch {
		case f.Default != nil && f.Kind != faas.FieldFile:
			if err := in.add(f.Name, *f.Default); err != nil {
				return err
			}
		case f.Required:
			return Faultf("the required field %q is missing; send it as %s", clip(f.Name), article(f.Kind))
		}
	}
	return nil
}

func article(k faas.FieldKind) string {
	switch k {
	case faas.FieldNumber:
		return "a number"
	case faas.FieldFile:
		return "a file in a multipart/form-data body"
	case faas.FieldJSON:
		return "JSON text"
	case faas.FieldText:
	}
	return "text"
}

func (in *Input) has(name string) bool {
	for i := range in.Fields {
		if in.Fields[i].Name == name {
			return true
		}
	}
	for i := range in.Files {
		if in.Files[i].Field == name {
			return true
		}
	}
	return false
}

// checkKind checks every value of f, and removes white space from JSON text.
func (in *Input) checkKind(f *faas.Field) error {
	for i := range in.Files {
		if in.Files[i].Field == f.Name && f.Kind != faas.FieldFile {
			return Faultf("field %q came as a file; send it as %s", clip(f.Name), article(f.Kind))
		}
	}
	for i := range in.Fields {
		if in.Fields[i].Name != f.Name {
			continue
		}
		if err := checkValue(f, &in.Fields[i]); err != nil {
			return err
		}
	}
	return nil
}

func checkValue(f *faas.Field, v *Field) error {
	switch f.Kind {
	case faas.FieldFile:
		return Faultf("field %q came as text; send it as %s", clip(f.Name), article(f.Kind))
	case faas.FieldNumber:
		if !isNumber(v.Value) {
			return Faultf("field %q is %q, which is not a number; write digits such as 12 or -0.5", clip(f.Name), clip(v.Value))
		}
	case faas.FieldJSON:
		if err := checkJSON([]byte(v.Value)); err != nil {
			return Faultf("field %q is not JSON text: %v", clip(f.Name), err)
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, []byte(v.Value)); err != nil {
			return Faultf("field %q is not JSON text (%s)", clip(f.Name), clip(err.Error()))
		}
		v.Value = compact.String()
	case faas.FieldText:
	}
	return nil
}

// isNumber reports whether s is a decimal number in ASCII: an optional sign, digits, an optional fraction and an
// optional exponent.
func isNumber(s string) bool {
	if s != "" && (s[0] == '-' || s[0] == '+') {
		s = s[1:]
	}
	whole := digits(s)
	s = s[whole:]
	fraction := 0
	if s != "" && s[0] == '.' {
		fraction = digits(s[1:])
		s = s[1+fraction:]
	}
	if whole+fraction == 0 {
		return false
	}
	if s == "" {
		return true
	}
	if s[0] != 'e' && s[0] != 'E' {
		return false
	}
	s = s[1:]
	if s != "" && (s[0] == '-' || s[0] == '+') {
		s = s[1:]
	}
	return s != "" && digits(s) == len(s)
}

// digits returns how many digits s begins with.
func digits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}
