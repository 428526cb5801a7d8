package spec

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"davit/internal/faas"
	"davit/internal/faas/route"
)

func pointerTo[T any](v T) *T { return &v }

// defaultTrigger is api.md's column of defaults, for a function that has the defaults.
func defaultTrigger() faas.TriggerSpec {
	return faas.TriggerSpec{
		Function: "f", Methods: []string{"GET"}, Path: "/a", Command: faas.Command{"a"}, ArgumentStyle: faas.Placeholders, Response: faas.ResponseZip,
		Mode: faas.ModeJob, Timeout: faas.Duration(5 * time.Minute), Wait: pointerTo(faas.Duration(time.Minute)), MaxBody: faas.GiB, Access: faas.AccessPublic,
		OnDisconnect: faas.DisconnectContinue, Keep: faas.KeepAll, Retention: faas.Duration(24 * time.Hour),
	}
}

func TestTriggerDefaults(t *testing.T) {
	const required = `{"function":"f","methods":["GET"],"path":"/a","command":["a"]`
	for _, text := range []string{
		required + `}`,
		required + `,"argument_style":null,"results":null,"response":null,"fields":null,"mode":null,"timeout":null,"wait":null,"max_body":null,"retries":null,
		  "access":null,"on_disconnect":null,"keep":null,"retention":null,"schedule":null,"callback":null,"cache":null,"cors":null}`,
		required + `,"argument_style":"placeholders","response":"zip","mode":"job","timeout":"5m","wait":"60s","max_body":"1Gi","retries":0,
		  "access":"public","on_disconnect":"continue","keep":"all","retention":"24h"}`,
		required + `,"retries":{"attempts":0,"backoff":"1s","on":["runner_lost"]}}`,
	} {
		s, err := DecodeTriggerSpec([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got := CompleteTrigger(s, defaultFunction())
		if !reflect.DeepEqual(got, defaultTrigger()) {
			t.Errorf("%s: %+v", text, got)
		}
		if faults := CheckTrigger(got, defaultFunction()); faults != nil {
			t.Errorf("%s: the defaults are refused: %v", text, faults)
		}
	}
}

func TestTriggerCompleteFollowsTheFunction(t *testing.T) {
	f := faas.FunctionSpec{Command: faas.Command{"of", "f"}, Mode: faas.ModeWarm, Timeout: 7}
	s := faas.TriggerSpec{Methods: []string{"post", "GET", "Post", "get"}, Results: []string{"./a", "b"}, Fields: []faas.Field{{Name: "x"}}}
	own := CompleteTrigger(s, faas.FunctionSpec{})
	if own.Command != nil || own.Mode != "" || own.Timeout != 0 || own.Keep != faas.KeepAll {
		t.Errorf("with an empty function: %+v", own)
	}
	got := CompleteTrigger(own, f)
	if !reflect.DeepEqual(got.Command, f.Command) || got.Mode != faas.ModeWarm || got.Timeout != 7 {
		t.Errorf("with the function's: %+v", got)
	}
	if want := []string{"POST", "GET"}; !slices.Equal(got.Methods, want) {
		t.Errorf("methods %q, want %q", got.Methods, want)
	}
	if want := []string{"a", "b"}; !slices.Equal(got.Results, want) {
		t.Errorf("results %q, want %q", got.Results, want)
	}
	if s.Results[0] != "./a" || s.Fields[0].Kind != "" || got.Fields[0].Kind != faas.FieldText || s.Methods[0] != "post" {
		t.Errorf("Complete changed its receiver: %+v", s)
	}
}

func TestDecodeTriggerSpec(t *testing.T) {
	text := `{"function":"f","methods":["POST"],"path":"/a/:x","command":"sh -c 'a b'","argument_style":"counted","results":["*.png"],"response":"file",
	  "fields":[{"name":"a","kind":"number","required":true,"description":"d","default":5},{"name":"b","kind":"file","accept":"image/*"},
	    {"name":"c","kind":"json","default":{"x": [1]}},{"name":"d","default":""},{"name":"e","default":null},{"name":"g","kind":"text","default":false}],
	  "mode":"standby","timeout":"1s","wait":"0s","max_body":1,"access":"token","on_disconnect":"cancel","keep":"none","retention":"1h"}`
	want := faas.TriggerSpec{
		Function: "f", Methods: []string{"POST"}, Path: "/a/:x", Command: faas.Command{"sh", "-c", "a b"}, ArgumentStyle: faas.Counted, Results: []string{"*.png"}, Response: faas.ResponseFile,
		Fields: []faas.Field{
			{Name: "a", Kind: faas.FieldNumber, Required: true, Description: "d", Default: pointerTo("5")},
			{Name: "b", Kind: faas.FieldFile, Accept: "image/*"},
			{Name: "c", Kind: faas.FieldJSON, Default: pointerTo(`{"x": [1]}`)},
			{Name: "d", Default: pointerTo("")},
			{Name: "e"},
			{Name: "g", Kind: faas.FieldText, Default: pointerTo("false")},
		},
		Mode: faas.ModeStandby, Timeout: faas.Duration(time.Second), Wait: pointerTo(faas.Duration(0)), MaxBody: 1, Access: faas.AccessToken, OnDisconnect: faas.DisconnectCancel,
		Keep: faas.KeepNone, Retention: faas.Duration(time.Hour),
	}
	got, err := DecodeTriggerSpec([]byte(text))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	if faults := CheckTrigger(got, faas.FunctionSpec{Mode: faas.ModeWarm}); faults != nil {
		t.Errorf("refused: %v", faults)
	}
}

func TestDecodeTriggerSpecRefuses(t *testing.T) {
	cases := []struct {
		text string
		kind faas.Kind
		want string
	}{
		{`{"methods":"GET"}`, faas.Invalid, "/methods must be a list, not a string"},
		{`{"Path":"/a"}`, faas.Invalid, "/Path is unknown here; the fields are access, argument_style, cache,"},
		{`{"fields":{}}`, faas.Invalid, "/fields must be a list"},
		{`{"fields":["a"]}`, faas.Invalid, "/fields/0 must be an object"},
		{`{"fields":[{"name":"a"},{"name":"b","typ":"x"}]}`, faas.Invalid, "/fields/1/typ is unknown here; the fields are accept, default, description, kind, name, required"},
		{`{"wait":60}`, faas.Invalid, "/wait 60 has no unit"},
		{`{"retries":"3"}`, faas.Invalid, "/retries must be a number or an object, not a string"},
		{`{"retries":0.5}`, faas.Invalid, "/retries 0.5 is no whole number"},
		{`{"retries":{"attempts":"x"}}`, faas.Invalid, "/retries/attempts must be a number"},
		{`{"retries":{"count":0}}`, faas.Invalid, "/retries/count is unknown"},
		{`{"retries":3}`, faas.NotAllowed, "/retries is not available yet"},
		{`{"retries":{"attempts":3,"backoff":"1s"}}`, faas.NotAllowed, "/retries is not available yet"},
		{`{"retries":{}}`, faas.NotAllowed, "/retries is not available yet"},
		{`{"schedule":{"cron":"0 3 * * *"}}`, faas.NotAllowed, "/schedule is not available yet"},
		{`{"callback":"https://example.com"}`, faas.NotAllowed, "/callback is not available yet"},
		{`{"cache":true}`, faas.NotAllowed, "/cache is not available yet"},
		{`{"cors":{}}`, faas.NotAllowed, "/cors is not available yet"},
		{`{"timeout":"0s"}`, faas.NotAllowed, "/timeout must be more than 0"},
		{`{"max_body":0}`, faas.NotAllowed, "/max_body must be more than 0"},
		{`{"retention":"0s"}`, faas.NotAllowed, "/retention must be more than 0"},
	}
	for _, c := range cases {
		_, err := DecodeTriggerSpec([]byte(c.text))
		if kind, texts := faults(err); kind != c.kind || len(texts) != 1 || !holdsFault(texts, c.want) {
			t.Errorf("%s: %s %q; want %s %q", c.text, kind, texts, c.kind, c.want)
		}
	}
}

func TestTriggerCheck(t *testing.T) {
	long := strings.Repeat("x", 200_000)
	field := func(f faas.Field) func(s *faas.TriggerSpec) {
		return func(s *faas.TriggerSpec) { s.Fields = []faas.Field{{Name: "first", Kind: faas.FieldText}, f} }
	}
	cases := []struct {
		change func(s *faas.TriggerSpec)
		want   string
	}{
		{func(s *faas.TriggerSpec) { s.Function = "" }, "/function is empty"},
		{func(s *faas.TriggerSpec) { s.Function = "A" }, "/function"},
		{func(s *faas.TriggerSpec) { s.Methods = nil }, "/methods is missing"},
		{func(s *faas.TriggerSpec) { s.Methods = []string{"put", "PUT", "Get"} }, ""},
		{func(s *faas.TriggerSpec) { s.Methods = []string{"GET", "DELETE"} }, `/methods/1 must be GET, POST or PUT, not "DELETE"`},
		{func(s *faas.TriggerSpec) { s.Methods = []string{"HEAD"} }, "/methods/0 is HEAD, which needs no trigger"},
		{func(s *faas.TriggerSpec) { s.Methods = []string{""} }, "/methods/0 must be"},
		{func(s *faas.TriggerSpec) { s.Methods = []string{"GET\x00"} }, "/methods/0 must be"},
		{func(s *faas.TriggerSpec) { s.Path = "" }, "/path the path is missing"},
		{func(s *faas.TriggerSpec) { s.Path = "/-/x" }, "/path"},
		{func(s *faas.TriggerSpec) { s.Path = "/a/../b" }, "/path"},
		{func(s *faas.TriggerSpec) { s.Path = "/a\x00" }, "/path"},
		{func(s *faas.TriggerSpec) { s.Command = faas.Command{"a", "{field:x}", "{files}", "{print}", "{}"} }, ""},
		{func(s *faas.TriggerSpec) { s.Command = faas.Command{"a", "--x={field:x}"} }, "/command/1 {field:x} is inside a longer argument"},
		{func(s *faas.TriggerSpec) {
			s.Command, s.ArgumentStyle = faas.Command{"a", "--x={field:x}"}, faas.Counted
		}, ""},
		{func(s *faas.TriggerSpec) { s.Command = faas.Command{"{file:x}"} }, "/command/0 is a placeholder; name the program"},
		{func(s *faas.TriggerSpec) { s.Command = faas.Command{"a", "\x00"} }, "/command/1 holds a NUL"},
		{func(s *faas.TriggerSpec) { s.Command = faas.Command{""} }, "/command/0 is empty"},
		{func(s *faas.TriggerSpec) { s.Command = nil }, "/command is missing"},
		{func(s *faas.TriggerSpec) {
			s.Command, s.Fields = faas.Command{"a", "{field:x}"}, []faas.Field{{Name: "x", Kind: faas.FieldFile}}
		}, "/command/1 {field:x} asks for a value, but the field is declared as a file"},
		{func(s *faas.TriggerSpec) {
			s.Command, s.Fields = faas.Command{"a", "{file:x}"}, []faas.Field{{Name: "x", Kind: faas.FieldJSON}}
		}, "/command/1 {file:x} asks for a file, but the field is declared as json"},
		{func(s *faas.TriggerSpec) {
			s.Command, s.Fields = faas.Command{"a", "{file:x}", "{field:y}", "{fields}"}, []faas.Field{{Name: "x", Kind: faas.FieldFile}, {Name: "y"}}
		}, ""},
		{func(s *faas.TriggerSpec) { s.ArgumentStyle = "both" }, `/argument_style must be "placeholders" or "counted"`},
		{func(s *faas.TriggerSpec) { s.Results = []string{"a", "/etc/passwd"} }, "/results/1 is absolute"},
		{func(s *faas.TriggerSpec) { s.Results = make([]string, 1001) }, "/results has 1001 patterns"},
		{func(s *faas.TriggerSpec) { s.Response = "raw" }, "/response must be"},
		{field(faas.Field{Name: "a", Kind: faas.FieldNumber, Default: pointerTo("-1.5e3")}), ""},
		{field(faas.Field{Name: "a", Kind: faas.FieldJSON, Default: pointerTo(`{"a":[null]}`)}), ""},
		{field(faas.Field{Name: "a", Kind: faas.FieldText, Default: pointerTo("\n")}), ""},
		{field(faas.Field{Name: "a", Kind: faas.FieldFile, Accept: "image/*,.pdf", Required: true}), ""},
		{field(faas.Field{Name: "*", Kind: faas.FieldText}), ""},
		{field(faas.Field{Name: "first", Kind: faas.FieldText}), `/fields/1/name "first" is declared twice`},
		{field(faas.Field{Kind: faas.FieldText}), "/fields/1/name is missing"},
		{field(faas.Field{Name: "a{b", Kind: faas.FieldText}), "/fields/1/name holds a brace"},
		{field(faas.Field{Name: "a\x00", Kind: faas.FieldText}), "/fields/1/name holds a control character"},
		{field(faas.Field{Name: long, Kind: faas.FieldText}), "/fields/1/name has 200000 bytes"},
		{field(faas.Field{Name: "a", Kind: "string"}), "/fields/1/kind must be"},
		{field(faas.Field{Name: "a", Kind: faas.FieldText, Accept: "x"}), `/fields/1/accept goes with kind "file" only`},
		{field(faas.Field{Name: "a", Kind: faas.FieldText, Description: "\x00"}), "/fields/1/description holds a NUL"},
		{field(faas.Field{Name: "a", Kind: faas.FieldText, Description: long}), "/fields/1/description has 200000 bytes"},
		{field(faas.Field{Name: "a", Kind: faas.FieldText, Default: pointerTo("\x00")}), "/fields/1/default holds a NUL"},
		{field(faas.Field{Name: "a", Kind: faas.FieldFile, Default: pointerTo("")}), "/fields/1/default is not possible for a file"},
		{field(faas.Field{Name: "a", Kind: faas.FieldNumber, Default: pointerTo("5 ")}), `/fields/1/default "5 " is no number`},
		{field(faas.Field{Name: "a", Kind: faas.FieldNumber, Default: pointerTo("")}), "/fields/1/default"},
		{field(faas.Field{Name: "a", Kind: faas.FieldNumber, Default: pointerTo("NaN")}), "/fields/1/default"},
		{field(faas.Field{Name: "a", Kind: faas.FieldNumber, Default: pointerTo("1,5")}), "/fields/1/default"},
		{field(faas.Field{Name: "a", Kind: faas.FieldJSON, Default: pointerTo("{")}), `/fields/1/default "{" is no JSON`},
		{func(s *faas.TriggerSpec) { s.Fields = make([]faas.Field, 1001) }, "/fields has 1001 fields"},
		{func(s *faas.TriggerSpec) { s.Mode = faas.ModeStandby }, ""},
		{func(s *faas.TriggerSpec) { s.Mode = faas.ModeWarm }, ""},
		{func(s *faas.TriggerSpec) { s.Mode = "cold" }, `/mode must be "warm" or "standby" or "job", not "cold"`},
		{func(s *faas.TriggerSpec) { s.Timeout = maxTimeout + 1 }, "/timeout must be at most 24h"},
		{func(s *faas.TriggerSpec) { s.Timeout = -1 }, "/timeout must be more than 0"},
		{func(s *faas.TriggerSpec) { s.Wait = pointerTo(faas.Duration(0)) }, ""},
		{func(s *faas.TriggerSpec) { s.Wait = pointerTo(faas.Duration(-1)) }, "/wait must be between 0s and 24h"},
		{func(s *faas.TriggerSpec) { s.Wait = pointerTo(maxTimeout + 1) }, "/wait must be between"},
		{func(s *faas.TriggerSpec) { s.MaxBody = -1 }, "/max_body must be between 1 and"},
		{func(s *faas.TriggerSpec) { s.MaxBody = 1 << 60 }, "/max_body must be between 1 and"},
		{func(s *faas.TriggerSpec) { s.Access = "private" }, `/access must be "public" or "token"`},
		{func(s *faas.TriggerSpec) { s.OnDisconnect = "stop" }, `/on_disconnect must be "continue" or "cancel"`},
		{func(s *faas.TriggerSpec) { s.Keep = "some" }, `/keep must be "all" or "failed" or "none"`},
		{func(s *faas.TriggerSpec) { s.Retention = -1 }, "/retention must be more than 0"},
		{func(s *faas.TriggerSpec) { s.Retention = maxAge + 1 }, "/retention must be at most 8760h"},
	}
	for i, c := range cases {
		s := defaultTrigger()
		s.Mode = ""
		c.change(&s)
		texts := fieldTexts(CheckTrigger(s, faas.FunctionSpec{Mode: faas.ModeWarm}))
		if c.want == "" && texts != nil || c.want != "" && (len(texts) != 1 || !holdsFault(texts, c.want)) {
			t.Errorf("case %d: %q; want %q", i, texts, c.want)
		}
	}
}

func TestTriggerModesAreOnlyStricter(t *testing.T) {
	modes := []faas.Mode{faas.ModeWarm, faas.ModeStandby, faas.ModeJob}
	functions := []faas.FunctionSpec{{Mode: faas.ModeWarm}, {Mode: faas.ModeJob, Standby: &faas.Standby{Max: 1}}, {Mode: faas.ModeJob}}
	for i, f := range functions {
		for j, m := range modes {
			s := defaultTrigger()
			s.Mode = m
			if faults := CheckTrigger(s, f); (faults == nil) != (j >= i) {
				t.Errorf("mode %s on a function that runs %s: %v", m, f.LooseMode(), faults)
			}
		}
		if got := CompleteTrigger(faas.TriggerSpec{}, f).Mode; got != modes[i] {
			t.Errorf("no mode on a function that runs %s becomes %s", f.LooseMode(), got)
		}
	}
}

func TestTriggerCommandComesFromSomewhere(t *testing.T) {
	s := defaultTrigger()
	s.Command = nil
	for _, c := range []struct {
		f    faas.FunctionSpec
		want string
	}{
		{faas.FunctionSpec{}, "/command is missing"},
		{faas.FunctionSpec{Command: faas.Command{"a"}}, ""},
		{faas.FunctionSpec{Command: faas.Command{"a", "x{body}"}}, "/command/1 {body} is inside"},
		{faas.FunctionSpec{Image: "debian"}, ""}, // which may have an entry point
	} {
		texts := fieldTexts(CheckTrigger(s, c.f))
		if c.want == "" && texts != nil || c.want != "" && !holdsFault(texts, c.want) {
			t.Errorf("%+v: %q; want %q", c.f, texts, c.want)
		}
	}
}

func drawTriggerSpec(t *rapid.T) faas.TriggerSpec {
	text := rapid.SampledFrom([]string{"", "a", "é\n\"", "x/y", "{body}", "./b", "get"})
	duration := rapid.SampledFrom([]faas.Duration{0, 1, faas.Duration(time.Minute), faas.Duration(90 * time.Minute)})
	list := rapid.SliceOfN(text, 1, 3)
	field := rapid.Custom(func(t *rapid.T) faas.Field {
		return faas.Field{
			Name: text.Draw(t, "name"), Kind: faas.FieldKind(text.Draw(t, "kind")), Required: rapid.Bool().Draw(t, "required"),
			Description: text.Draw(t, "description"), Accept: text.Draw(t, "accept"), Default: rapid.Ptr(text, true).Draw(t, "default"),
		}
	})
	return faas.TriggerSpec{
		Function: faas.FunctionName(text.Draw(t, "function")), Methods: list.Draw(t, "methods"), Path: text.Draw(t, "path"), Command: list.Draw(t, "command"),
		ArgumentStyle: faas.ArgumentStyle(text.Draw(t, "style")), Results: list.Draw(t, "results"), Response: faas.Response(text.Draw(t, "response")),
		Fields: rapid.SliceOfN(field, 1, 2).Draw(t, "fields"), Mode: faas.Mode(text.Draw(t, "mode")), Timeout: duration.Draw(t, "timeout"),
		Wait: rapid.Ptr(duration, true).Draw(t, "wait"), MaxBody: faas.Bytes(rapid.IntRange(0, 5).Draw(t, "body")), Access: faas.Access(text.Draw(t, "access")),
		OnDisconnect: faas.OnDisconnect(text.Draw(t, "disconnect")), Keep: faas.Keep(text.Draw(t, "keep")), Retention: duration.Draw(t, "retention"),
	}
}

func TestTriggerSpecsSurviveJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := CompleteTrigger(drawTriggerSpec(t), faas.FunctionSpec{})
		if again := CompleteTrigger(s, faas.FunctionSpec{}); !reflect.DeepEqual(again, s) {
			t.Fatalf("Complete twice: %+v, then %+v", s, again)
		}
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var stored faas.TriggerSpec
		if err := json.Unmarshal(b, &stored); err != nil || !reflect.DeepEqual(stored, s) {
			t.Fatalf("%s is read back from a record as %+v, %v", b, stored, err)
		}
		sent, err := DecodeTriggerSpec(b)
		if err != nil || !reflect.DeepEqual(CompleteTrigger(sent, faas.FunctionSpec{}), s) {
			t.Fatalf("%s is read back when sent as %+v, %v", b, sent, err)
		}
	})
}

func FuzzDecodeTriggerSpec(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"function":"f","methods":["get"],"path":"/a/:x/*","command":"a {field:x}","results":["**/*.png"]}`,
		`{"fields":[{"name":"a","kind":"number","default":5}],"retries":0,"wait":"0s"}`, `{"retries":{"attempts":1}}`, `{"path":"/%2e"}`,
	} {
		f.Add([]byte(s))
	}
	function := faas.FunctionSpec{Command: faas.Command{"a"}}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := DecodeTriggerSpec(b)
		if err != nil {
			kind, texts := faults(err)
			if kind != faas.TooLarge && (kind != faas.Invalid && kind != faas.NotAllowed || len(texts) == 0) {
				t.Fatalf("DecodeTriggerSpec(%q) = %v", b, err)
			}
			return
		}
		if CheckTrigger(s, function) != nil {
			return
		}
		stored, err := json.Marshal(CompleteTrigger(s, function))
		if err != nil {
			t.Fatal(err)
		}
		again, err := DecodeTriggerSpec(stored)
		if err != nil || CheckTrigger(again, function) != nil {
			t.Fatalf("%q is good, its stored form %s is not: %v", b, stored, err)
		}
		if _, err := route.NewTable([]*faas.Trigger{{Name: "a", TriggerSpec: CompleteTrigger(again, function)}}); err != nil {
			t.Fatalf("%q is good, and no table takes it: %v", b, err)
		}
	})
}
