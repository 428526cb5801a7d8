package spec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"davit/internal/faas"
)

// faults returns the kind of an error and each "pointer detail".
func faults(err error) (faas.Kind, []string) {
	e, ok := errors.AsType[*faas.Error](err)
	if !ok {
		return "", []string{fmt.Sprint(err)}
	}
	return e.Kind, fieldTexts(e.Fields)
}

func fieldTexts(fields []faas.FieldError) []string {
	var texts []string
	for _, f := range fields {
		texts = append(texts, f.Pointer+" "+f.Detail)
	}
	return texts
}

// holdsFault reports whether one of the faults is at want's pointer and holds the rest of want: "/warm/max must be".
func holdsFault(texts []string, want string) bool {
	pointer, detail, _ := strings.Cut(want, " ")
	for _, text := range texts {
		if at, rest, _ := strings.Cut(text, " "); at == pointer && strings.Contains(rest, detail) {
			return true
		}
	}
	return false
}

func TestReadJSONRefuses(t *testing.T) {
	nested := strings.Repeat("[", 40) + strings.Repeat("]", 40)
	cases := []struct{ text, want string }{
		{"", " is empty"},
		{" \n", " is empty"},
		{"{", " is no JSON: it ends too early, at byte 1"},
		{`{"a"`, "/a is no JSON: it ends too early"},
		{`{"a":`, "/a is no JSON: it ends too early"},
		{`{"a":1`, " is no JSON: it ends too early"},
		{`{"a":[1,2`, "/a is no JSON: it ends too early"},
		{`{"a":"x`, "/a is no JSON: it ends too early"},
		{`{"a":1}}`, " is followed by more data"},
		{`{"a":1} {}`, " is followed by more data"},
		{`{} x`, " is followed by more data"},
		{`{"a":NaN}`, "/a is no JSON: invalid character 'N'"},
		{`{"a":[0,-Infinity]}`, "/a/1 is no JSON"},
		{`{"a":01}`, " is no JSON"},
		{`{"a":.5}`, "/a is no JSON"},
		{`{a:1}`, " is no JSON"},
		{`{'a':1}`, " is no JSON"},
		{`{"a":1,}`, " is no JSON"},
		{`{"a":[1,]}`, "/a/1 is no JSON"},
		{`{"a":"` + "\n" + `"}`, "/a is no JSON"},
		{`{"a":"\x"}`, "/a is no JSON"},
		{"{\"a\":\"\xff\"}", " is no UTF-8"},
		{`{"a":"\ud800"}`, "/a holds half a surrogate pair"},
		{`{"a":["\ufffd","\udc00x"]}`, "/a/1 holds half a surrogate pair"},
		{`{"\ud800":1}`, " holds half a surrogate pair"},
		{`{"a":1,"b":2,"a":3}`, "/a is there twice"},
		{`{"a":1,"\u0061":3}`, "/a is there twice"},
		{`{"x":[{"a":1,"a":1}]}`, "/x/0/a is there twice"},
		{`{"a/b~c":[{"":1,"":1}]}`, "/a~1b~0c/0/ is there twice"},
		{nested, strings.Repeat("/0", 32) + " is nested deeper than 32 levels"},
		{strings.Repeat(`{"a":`, 100_000), strings.Repeat("/a", 32) + " is nested deeper than 32 levels"},
		{"[" + strings.Repeat("0,", 60_000) + "0]", "/49999 is beyond the first 50000 values"},
	}
	for _, c := range cases {
		_, err := readJSON([]byte(c.text))
		if kind, texts := faults(err); kind != faas.Invalid || len(texts) != 1 || !holdsFault(texts, c.want) {
			t.Errorf("readJSON(%s) = %s %q; want %q", faas.Clip(c.text), kind, texts, c.want)
		}
	}
}

func TestReadJSONRefusesTooMuch(t *testing.T) {
	if _, err := readJSON([]byte(`"` + strings.Repeat("x", 1<<20) + `"`)); faas.KindOf(err) != faas.TooLarge {
		t.Errorf("readJSON of more than 1 MiB = %v", err)
	}
}

func TestReadJSONKeepsWhatIsWritten(t *testing.T) {
	v, err := readJSON([]byte(` {"a" : [1.50, "\ufffd` + "�" + `\\ufffd", true ,null] , "b":{ "c" :-1e9} }` + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	got := describeJSON(v)
	want := `{a:[number 1.50 "1.50", string ` + "��\\ufffd" + ` "` + `\"\\ufffd` + "�" + `\\\\ufffd\"", true or false  "true", null  "null"] "[1.50, \"\\ufffd` + "�" + `\\\\ufffd\", true ,null]"` +
		` b:{c:number -1e9 "-1e9"} "{ \"c\" :-1e9}"}`
	if !strings.HasPrefix(got, want) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// describeJSON writes a value with its kind and how it was written.
func describeJSON(v jsonValue) string {
	var inner []string
	switch v.kind {
	case jsonList:
		for _, item := range v.list {
			inner = append(inner, describeJSON(item))
		}
		return fmt.Sprintf("[%s] %q", strings.Join(inner, ", "), v.raw)
	case jsonObject:
		for _, m := range v.members {
			inner = append(inner, m.name+":"+describeJSON(m.value))
		}
		return fmt.Sprintf("{%s} %q", strings.Join(inner, " "), v.raw)
	case jsonNull, jsonBool, jsonNumber, jsonString:
	}
	return fmt.Sprintf("%s %s %q", strings.TrimPrefix(string(v.kind), "a "), v.text, v.raw)
}

// FuzzReadJSON holds readJSON against encoding/json: what it takes is JSON, and what it says of it is what
// encoding/json reads.
func FuzzReadJSON(f *testing.F) {
	for _, s := range []string{`{"a":[1,2,{"b":null}]}`, `"\ud83d\ude00"`, `[1,]`, "1 2", `{"a":1,"a":2}`, `-0.5e+3`, strings.Repeat("6", 400)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := readJSON(b)
		if err != nil {
			if k := faas.KindOf(err); k != faas.Invalid && k != faas.TooLarge {
				t.Fatalf("readJSON(%q) = %v", b, err)
			}
			return
		}
		want, err := numbersAsWritten(b)
		if err != nil {
			t.Fatalf("readJSON(%q) takes what is no JSON: %v", b, err)
		}
		compareJSON(t, v, want)
	})
}

func numbersAsWritten(b []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	err = d.Decode(&v)
	return v, err
}

func compareJSON(t *testing.T, v jsonValue, want any) {
	t.Helper()
	again, err := numbersAsWritten(v.raw)
	if err != nil || fmt.Sprint(again) != fmt.Sprint(want) {
		t.Fatalf("%s: written %q, read %v, %v", v.pointer, v.raw, want, err)
	}
	switch want := want.(type) {
	case json.Number:
		if v.kind != jsonNumber || v.text != want.String() {
			t.Fatalf("%s: %v, want %s", v.pointer, v, want)
		}
	case string:
		if v.kind != jsonString || v.text != want {
			t.Fatalf("%s: %v, want %q", v.pointer, v, want)
		}
	case []any:
		if v.kind != jsonList || len(v.list) != len(want) {
			t.Fatalf("%s: %v, want %v", v.pointer, v, want)
		}
		for i, item := range v.list {
			compareJSON(t, item, want[i])
		}
	case map[string]any:
		if v.kind != jsonObject || len(v.members) != len(want) {
			t.Fatalf("%s: %v, want %v", v.pointer, v, want)
		}
		for _, m := range v.members {
			compareJSON(t, m.value, want[m.name])
		}
	}
}
