package form

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"davit/internal/faas"
)

// memory is a Creator in memory. A name that exists is a fault.
type memory struct{ files map[string]*bytes.Buffer }

func (m *memory) Create(name string) (io.WriteCloser, string, error) {
	if m.files[name] != nil {
		return nil, "", Faultf("two files are named %q", name)
	}
	if m.files == nil {
		m.files = map[string]*bytes.Buffer{}
	}
	m.files[name] = new(bytes.Buffer)
	return kept{m.files[name]}, name, nil
}

type kept struct{ io.Writer }

func (kept) Close() error { return nil }

// text returns the files' contents by name.
func (m *memory) text() map[string]string {
	out := map[string]string{}
	for name, b := range m.files {
		out[name] = b.String()
	}
	return out
}

type request struct {
	path        [][2]string
	query       string
	contentType string
	body        string
	declared    []faas.Field
}

func read(r *request, body io.Reader) (*Input, *memory, error) {
	m := &memory{}
	in := New(m)
	err := in.AddPath(r.path)
	if err == nil {
		err = in.AddQuery(r.query)
	}
	if err == nil {
		err = in.ReadBody(body, r.contentType, r.declared)
	}
	if err == nil {
		err = in.Declare(r.declared)
	}
	return in, m, err
}

const (
	encoded = "application/x-www-form-urlencoded"
	formed  = "multipart/form-data; boundary=XX"
)

func part(head, body string) string {
	return "--XX\r\nContent-Disposition: form-data; " + head + "\r\n\r\n" + body + "\r\n"
}

func pointer(s string) *string { return &s }

func declare(kind faas.FieldKind, names ...string) []faas.Field {
	var out []faas.Field
	for _, name := range names {
		out = append(out, faas.Field{Name: name, Kind: kind})
	}
	return out
}

func TestInputs(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	tests := []struct {
		name   string
		r      request
		fields string
		files  map[string]string
	}{
		{"nothing", request{}, "[]", nil},
		{"order", request{path: [][2]string{{"a", "1"}}, query: "b=2&a=3", contentType: encoded, body: "a=4&c=5"}, "[{a 1} {b 2} {a 3} {a 4} {c 5}]", nil},
		{"query", request{query: "a=b+c%2B%26&&x&y=&z=1=2&s=1;2&%C3%B6=%F0%9F%99%82"}, "[{a b c+&} {x } {y } {z 1=2} {s 1;2} {ö 🙂}]", nil},
		{"bytes are kept", request{query: "a=%ff%0a%27%22$(x)"}, "[{a \xff\n'\"$(x)}]", nil},
		{"davit-format is not a field", request{query: "davit-format=zip&davit-other=1"}, "[{davit-other 1}]", nil},
		{"raw", request{contentType: "image/png", body: "pixels"}, "[]", map[string]string{"body": "pixels"}},
		{"raw without a type", request{body: long}, "[]", map[string]string{"body": long}},
		{"raw with an odd type", request{contentType: ";;", body: "x"}, "[]", map[string]string{"body": "x"}},
		{"other multipart", request{contentType: "multipart/mixed; boundary=XX", body: "x"}, "[]", map[string]string{"body": "x"}},
		{"JSON without fields", request{contentType: "application/json", body: "{"}, "[]", map[string]string{"body": "{"}},
		{
			"multipart",
			request{contentType: formed, body: part(`name="a"`, "1") + part(`name="f"; filename="x y.png"`, long) + part(`name="a"`, "") + "--XX--\r\nepilogue"},
			"[{a 1} {a }]",
			map[string]string{"x y.png": long},
		},
		{"preamble, no last line end", request{contentType: formed, body: "preamble\r\n" + part(`name="a"`, "1") + "--XX--"}, "[{a 1}]", nil},
		{"line feeds only", request{contentType: formed, body: "--XX\nContent-Disposition: form-data; name=a\n\n1\n--XX--\n"}, "[{a 1}]", nil},
		{"empty form", request{contentType: formed, body: "--XX--\r\n"}, "[]", nil},
		{"file not chosen", request{contentType: formed, body: part(`name="f"; filename=""`, "") + "--XX--\r\n"}, "[]", nil},
		{"encoded name", request{contentType: formed, body: part(`name="f"; filename*=UTF-8''gr%C3%B6%C3%9Fe.txt`, "x") + "--XX--\r\n"}, "[]", map[string]string{"größe.txt": "x"}},
		{"Unicode and quotes", request{contentType: formed, body: part(`name="f"; filename="gr\"öß\"e 🙂.txt"`, "x") + "--XX--\r\n"}, "[]", map[string]string{`gr"öß"e 🙂.txt`: "x"}},
		{"quoted-printable is not decoded", request{contentType: formed, body: part("name=\"a\"\r\nContent-Transfer-Encoding: quoted-printable", "a=3D1") + "--XX--\r\n"}, "[{a a=3D1}]", nil},
		{"boundary inside a line", request{contentType: formed, body: part(`name="a"`, "x--XX--x\r\n--XXX\r\n--X") + "--XX--\r\n"}, "[{a x--XX--x\r\n--XXX\r\n--X}]", nil},
		{"JSON", request{
			contentType: "application/json; charset=utf-8", declared: append(declare(faas.FieldText, "s", "n", "b", "z"), declare(faas.FieldJSON, "o")...),
			body: ` {"s": "a\u00e9\"", "n": 1.50, "b": true, "z": null, "o": {"x": [1, 2]}, "other": 1}`,
		}, `[{s aé"} {n 1.50} {b true} {o {"x":[1,2]}}]`, nil},
		{"JSON suffix", request{contentType: "application/ld+json", declared: declare(faas.FieldText, "s"), body: `{"s":"x"}`}, "[{s x}]", nil},
		{"JSON, nothing sent", request{contentType: "application/json", declared: declare(faas.FieldText, "s")}, "[]", nil},
		{"defaults", request{query: "a=1", declared: []faas.Field{{Name: "a", Kind: faas.FieldNumber, Default: pointer("9")}, {Name: "b", Required: true, Kind: faas.FieldText, Default: pointer("")}}}, "[{a 1} {b }]", nil},
		{"numbers", request{query: "n=1&n=-2.5&n=%2B.5e-3&n=7.&n=00", declared: declare(faas.FieldNumber, "n")}, "[{n 1} {n -2.5} {n +.5e-3} {n 7.} {n 00}]", nil},
		{"JSON text", request{query: "j=%7B+%22a%22+:+%5B1,+2%5D+%7D&j=3", declared: declare(faas.FieldJSON, "j")}, `[{j {"a":[1,2]}} {j 3}]`, nil},
		{"declared file", request{contentType: formed, body: part(`name="f"; filename="x"`, "1") + "--XX--\r\n", declared: []faas.Field{{Name: "f", Kind: faas.FieldFile, Required: true}}}, "[]", map[string]string{"x": "1"}},
	}
	for _, test := range tests {
		for way, wrap := range map[string]func(io.Reader) io.Reader{"whole": func(r io.Reader) io.Reader { return r }, "bytewise": iotest.OneByteReader, "with the end": iotest.DataErrReader} {
			in, m, err := read(&test.r, wrap(strings.NewReader(test.r.body)))
			if test.files == nil {
				test.files = map[string]string{}
			}
			if err != nil || fmt.Sprint(in.Fields) != test.fields || !reflect.DeepEqual(m.text(), test.files) {
				t.Errorf("%s, %s: %v, fields %.200q, files %.200q", test.name, way, err, fmt.Sprint(in.Fields), m.text())
			}
			for _, f := range in.Files {
				if f.Size != int64(len(test.files[f.Name])) {
					t.Errorf("%s: %s has size %d", test.name, f.Name, f.Size)
				}
			}
		}
	}
}

func TestFaults(t *testing.T) {
	js := func(body string) request {
		return request{contentType: "application/json", body: body, declared: declare(faas.FieldText, "s")}
	}
	many := strings.Repeat("a&", MaxParts) + "b"
	tests := []struct {
		name string
		r    request
		want string
	}{
		{"escape", request{query: "a=%"}, `"a" in the query`},
		{"escape of a name", request{query: "%4=1"}, "two hex digits"},
		{"escape in a body", request{contentType: encoded, body: "a=1&b=%g0"}, `"b" in the body`},
		{"NUL", request{query: "a=x%00y"}, "NUL"},
		{"NUL in a name", request{query: "a%00=x"}, "NUL"},
		{"no name", request{query: "=x"}, "no name"},
		{"long name", request{query: strings.Repeat("n", MaxNameBytes+1) + "=x"}, "1025 bytes"},
		{"too many", request{query: many}, "more than 10000"},
		{"long value", request{contentType: encoded, body: "a=" + strings.Repeat("x", MaxValueBytes+1)}, "send the value as a file"},
		{"long values", request{contentType: encoded, body: strings.Repeat("a="+strings.Repeat("x", MaxValueBytes-2)+"&", 9)}, "send large values as files"},
		{"no boundary", request{contentType: "multipart/form-data", body: "x"}, "boundary"},
		{"giant boundary", request{contentType: "multipart/form-data; boundary=" + strings.Repeat("b", 71), body: "x"}, "71 characters"},
		{"unreadable type", request{contentType: "multipart/form-data; boundary=a; boundary=b", body: "x"}, "Content-Type"},
		{"garbage", request{contentType: formed, body: "garbage"}, "last boundary"},
		{"no part", request{contentType: formed, body: "--XX\r\n"}, "part 1"},
		{"not closed", request{contentType: formed, body: part(`name="a"`, "1")}, "part 1"},
		{"cut in a header", request{contentType: formed, body: part(`name="a"`, "1") + "--XX\r\nContent-Dis"}, "part 2"},
		{"cut in a header that looks like the end", request{contentType: formed, body: "--XX\r\nX: --XX--"}, "part 1"},
		{"cut in a value", request{contentType: formed, body: part(`name="a"`, "1")[:50]}, "part 1"},
		{"cut in a file", request{contentType: formed, body: part(`name="f"; filename="x"`, "12345")[:66]}, `part 1 ("f")`},
		{"header without end", request{contentType: formed, body: "--XX\r\nX-Long: " + strings.Repeat("x", 200_000)}, "65536 bytes"},
		{"headers without end", request{contentType: formed, body: "--XX\r\n" + strings.Repeat("X-A: b\r\n", 30_000)}, "part 1"},
		{"bad header", request{contentType: formed, body: "--XX\r\nno colon\r\n\r\nx\r\n--XX--\r\n"}, "malformed"},
		{"no disposition", request{contentType: formed, body: "--XX\r\n\r\nx\r\n--XX--\r\n"}, "Content-Disposition"},
		{"other disposition", request{contentType: formed, body: "--XX\r\nContent-Disposition: attachment; name=a\r\n\r\nx\r\n--XX--\r\n"}, "Content-Disposition"},
		{"part without a name", request{contentType: formed, body: part(`x="y"`, "1") + "--XX--\r\n"}, "part 1"},
		{"file without a name", request{contentType: formed, body: part(`name="f"; filename=""`, "1") + "--XX--\r\n"}, "no file name"},
		{"NUL in a part", request{contentType: formed, body: part(`name="a"`, "x\x00y") + "--XX--\r\n"}, "NUL"},
		{"long part", request{contentType: formed, body: part(`name="a"`, strings.Repeat("x", MaxValueBytes+1)) + "--XX--\r\n"}, "as a file"},
		{"many parts", request{contentType: formed, body: strings.Repeat(part(`name="a"`, "1"), MaxParts+1) + "--XX--\r\n"}, "more than 10000"},
		{"two files of one name", request{contentType: formed, body: part(`name="f"; filename="x"`, "1") + part(`name="g"; filename="x"`, "2") + "--XX--\r\n"}, "two files"},
		{"JSON cut", js(`{"s": `), "ends too early"},
		{"JSON list", js(`[1]`), "not an object"},
		{"JSON null", js(`null`), "not an object"},
		{"JSON and more", js(`{} {}`), "not an object"},
		{"NaN", js(`{"s": NaN}`), "malformed"},
		{"twice", js(`{"s": 1, "\u0073": 2}`), "twice"},
		{"twice inside", js(`{"o": [{"a": {}, "a": 1}]}`), "twice"},
		{"deep", js(strings.Repeat(`{"s":`, 101)), "deeper than 100"},
		{"very deep", js(strings.Repeat("[", 1_000_000)), "deeper than 100"},
		{"huge", js(`{"s": "` + strings.Repeat("x", MaxTextBytes) + `"}`), "more than 8388608"},
		{"not UTF-8", js("{\"s\": \"\xff\"}"), "UTF-8"},
		{"object for text", js(`{"s": {}}`), `kind "json"`},
		{"NUL in JSON", js(`{"s": "\u0000"}`), "NUL"},
		{"file from JSON", request{contentType: "application/json", body: `{"f": "x"}`, declared: declare(faas.FieldFile, "f")}, "multipart"},
		{"no number", request{query: "n=1x", declared: declare(faas.FieldNumber, "n")}, `"1x"`},
		{"other digits", request{query: "n=%D9%A3", declared: declare(faas.FieldNumber, "n")}, "not a number"},
		{"infinite", request{query: "n=inf", declared: declare(faas.FieldNumber, "n")}, "not a number"},
		{"hexadecimal", request{query: "n=0x1", declared: declare(faas.FieldNumber, "n")}, "not a number"},
		{"exponent only", request{query: "n=1e", declared: declare(faas.FieldNumber, "n")}, "not a number"},
		{"no digits", request{query: "n=-.", declared: declare(faas.FieldNumber, "n")}, "not a number"},
		{"empty number", request{query: "n=", declared: declare(faas.FieldNumber, "n")}, "not a number"},
		{"bad JSON text", request{query: "j=%7B", declared: declare(faas.FieldJSON, "j")}, `"j" is not JSON text`},
		{"two JSON texts", request{query: "j=1+2", declared: declare(faas.FieldJSON, "j")}, `"j" is not JSON text`},
		{"required", request{declared: []faas.Field{{Name: "r", Kind: faas.FieldFile, Required: true}}}, `"r" is missing`},
		{"text for a file", request{query: "f=x", declared: declare(faas.FieldFile, "f")}, "came as text"},
		{"file for text", request{contentType: formed, body: part(`name="s"; filename="x"`, "1") + "--XX--\r\n", declared: declare(faas.FieldText, "s")}, "came as a file"},
	}
	for _, test := range tests {
		_, _, err := read(&test.r, strings.NewReader(test.r.body))
		fault, is := errors.AsType[*Fault](err)
		if !is || !strings.Contains(fault.Detail, test.want) {
			t.Errorf("%s: got %.300v, want a fault with %q", test.name, err, test.want)
		}
	}
}

func TestBrokenBodyIsNotAFault(t *testing.T) {
	broken := errors.New("broken")
	body := part(`name="a"`, "1") + part(`name="f"; filename="x"`, strings.Repeat("y", 10_000)) + "--XX--\r\n"
	for _, contentType := range []string{formed, encoded, "", "application/json"} {
		for n := range len(body) {
			if n > 200 && n%1000 != 0 {
				continue
			}
			r := request{contentType: contentType, declared: declare(faas.FieldText, "s")}
			_, _, err := read(&r, io.MultiReader(strings.NewReader(body[:n]), iotest.ErrReader(broken)))
			if !errors.Is(err, broken) {
				t.Fatalf("%q broken after %d bytes: %v", contentType, n, err)
			}
		}
	}
}

// refusing is a Creator whose files fail to write.
type refusing struct{ err error }

func (r refusing) Create(name string) (io.WriteCloser, string, error) { return r, name, nil }
func (r refusing) Write([]byte) (int, error)                          { return 0, r.err }
func (r refusing) Close() error                                       { return nil }

func TestFullDiskIsNotAFault(t *testing.T) {
	full := errors.New("disk full")
	for _, contentType := range []string{formed, ""} {
		in := New(refusing{full})
		err := in.ReadBody(strings.NewReader(part(`name="f"; filename="x"`, strings.Repeat("y", 200_000))+"--XX--\r\n"), contentType, nil)
		if _, is := errors.AsType[*Fault](err); is || !errors.Is(err, full) {
			t.Fatalf("%q: %v", contentType, err)
		}
	}
}
