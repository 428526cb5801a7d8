package spec

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"davit/internal/faas"
)

// everything is an installation that can do all there is.
func everything() faas.Capabilities {
	return faas.Capabilities{Images: true, Builds: true, Secrets: true, Root: true, WritableRoot: true, Egress: true, GPU: true}
}

// defaultFunction is api.md's column of defaults.
func defaultFunction() faas.FunctionSpec {
	return faas.FunctionSpec{
		Mode:           faas.ModeJob,
		Standby:        &faas.Standby{},
		Warm:           &faas.Warm{Min: 0, Max: 5, Concurrency: 1, Idle: faas.Duration(5 * time.Minute)},
		Resources:      &faas.Resources{CPU: "500m", Memory: 256 * faas.MiB, Disk: faas.GiB},
		Timeout:        faas.Duration(5 * time.Minute),
		MaxQueue:       &faas.MaxQueue{Calls: 100, Wait: faas.Duration(10 * time.Minute)},
		MaxConcurrency: 20,
		RunAs:          "65532",
		Egress:         "none",
	}
}

func TestFunctionDefaults(t *testing.T) {
	for _, text := range []string{
		`{}`,
		`{"image":null,"base_image":null,"setup":null,"command":null,"start":null,"env":null,"secrets":null,"mode":null,"standby":null,"warm":null,
		  "resources":null,"timeout":null,"max_queue":null,"max_concurrency":null,"run_as":null,"writable_root":null,"egress":null,"registry_secret":null}`,
		`{"warm":{},"resources":{},"max_queue":{},"standby":{}}`,
		`{"mode":"job","standby":0,"warm":{"min":0,"max":5,"concurrency":1,"idle":"5m","max_calls":0,"max_age":"0s"},
		  "resources":{"cpu":"500m","memory":"256Mi","disk":"1Gi","gpu":0},"timeout":"5m","max_queue":{"calls":100,"wait":"10m"},
		  "max_concurrency":20,"run_as":65532,"writable_root":false,"egress":"none"}`,
	} {
		s, err := DecodeFunctionSpec([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got := CompleteFunction(s, faas.Defaults{})
		if !reflect.DeepEqual(got, defaultFunction()) {
			t.Errorf("%s: %+v", text, got)
		}
		if faults := CheckFunction(got, faas.Capabilities{}); faults != nil {
			t.Errorf("%s: the defaults are refused: %v", text, faults)
		}
	}
}

func TestFunctionCompleteKeepsWhatIsThere(t *testing.T) {
	s := faas.FunctionSpec{Image: "x", Warm: &faas.Warm{Min: 7}, Resources: &faas.Resources{CPU: "2"}, MaxQueue: &faas.MaxQueue{Calls: 1}, Mode: faas.ModeWarm}
	before := fmt.Sprintf("%+v %+v", *s.Warm, *s.Resources)
	got := CompleteFunction(s, faas.Defaults{BaseImage: "debian"})
	if after := fmt.Sprintf("%+v %+v", *s.Warm, *s.Resources); after != before {
		t.Errorf("Complete changed its receiver from %s to %s", before, after)
	}
	want := defaultFunction()
	want.Image, want.Mode, want.Warm.Min, want.Warm.Max, want.Resources.CPU, want.MaxQueue.Calls = "x", faas.ModeWarm, 7, 7, "2", 1
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := CompleteFunction(faas.FunctionSpec{}, faas.Defaults{BaseImage: "debian"}).BaseImage; got != "debian" {
		t.Errorf("base image %q", got)
	}
}

func TestDecodeFunctionSpec(t *testing.T) {
	text := `{"image":"registry.example.com/a:1","command":"python3 'my app.py'","start":{"command":["a"],"arguments":"b c","ready":{"port":5000}},
	  "env":{"A":"1"},"secrets":["S"],"mode":"warm","standby":{"min":1,"max":10},"warm":{"min":1,"max":2,"concurrency":3,"idle":"1s","max_calls":4,"max_age":"1h"},
	  "resources":{"cpu":0.5,"memory":1048576,"disk":"1Mi","gpu":1},"timeout":"1h30m","max_queue":{"calls":1,"wait":"1s"},"max_concurrency":3,
	  "run_as":"root","writable_root":true,"egress":"internet","registry_secret":"r","base_image":"b","setup":"make"}`
	want := faas.FunctionSpec{
		Image: "registry.example.com/a:1", Command: faas.Command{"python3", "my app.py"},
		Start: &faas.StartProcess{Command: faas.Command{"a"}, Arguments: faas.Command{"b", "c"}, Ready: &faas.Ready{Port: 5000}},
		Env:   map[string]string{"A": "1"}, Secrets: []string{"S"}, Mode: faas.ModeWarm, Standby: &faas.Standby{Min: 1, Max: 10},
		Warm:      &faas.Warm{Min: 1, Max: 2, Concurrency: 3, Idle: faas.Duration(time.Second), MaxCalls: 4, MaxAge: faas.Duration(time.Hour)},
		Resources: &faas.Resources{CPU: "0.5", Memory: faas.MiB, Disk: faas.MiB, GPU: 1}, Timeout: faas.Duration(90 * time.Minute),
		MaxQueue: &faas.MaxQueue{Calls: 1, Wait: faas.Duration(time.Second)}, MaxConcurrency: 3, RunAs: "root", WritableRoot: true,
		Egress: "internet", RegistrySecret: "r", BaseImage: "b", Setup: "make",
	}
	got, err := DecodeFunctionSpec([]byte(text))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	for text, want := range map[string]faas.Standby{`3`: {Min: 3, Max: 3}, `{"min":2}`: {Min: 2, Max: 2}, `{"max":2}`: {Max: 2}, `{"min":2,"max":0}`: {Min: 2}} {
		got, err := DecodeFunctionSpec([]byte(`{"standby":` + text + `}`))
		if err != nil || *got.Standby != want {
			t.Errorf("standby %s = %v, %v; want %v", text, got.Standby, err, want)
		}
	}
}

func TestDecodeFunctionSpecRefuses(t *testing.T) {
	cases := []struct {
		text string
		kind faas.Kind
		want []string
	}{
		{`[]`, faas.Invalid, []string{" must be an object, not a list"}},
		{`null`, faas.Invalid, []string{" must be an object, not null"}},
		{`"x"`, faas.Invalid, []string{" must be an object"}},
		{`{"Command":["a"]}`, faas.Invalid, []string{"/Command is unknown here; the fields are base_image, command,"}},
		{`{"a/b":1}`, faas.Invalid, []string{"/a~1b is unknown"}},
		{`{"commands":[]}`, faas.Invalid, []string{"/commands is unknown"}},
		{`{"warm":{"maximum":1}}`, faas.Invalid, []string{"/warm/maximum is unknown here; the fields are concurrency, idle, max,"}},
		{`{"warm":{"max":"3"}}`, faas.Invalid, []string{"/warm/max must be a number, not a string"}},
		{`{"warm":{"max":3.5}}`, faas.Invalid, []string{"/warm/max 3.5 is no whole number"}},
		{`{"warm":{"max":1e2}}`, faas.Invalid, []string{"/warm/max 1e2 is no whole number"}},
		{`{"warm":{"max":99999999999}}`, faas.Invalid, []string{"/warm/max 99999999999 is no whole number, or too large"}},
		{`{"warm":5}`, faas.Invalid, []string{"/warm must be an object, not a number"}},
		{`{"warm":{"max":1,"max":2}}`, faas.Invalid, []string{"/warm/max is there twice"}},
		{`{"command":{}}`, faas.Invalid, []string{"/command must be a list of strings, or one string"}},
		{`{"command":[1,"a",null]}`, faas.Invalid, []string{"/command/0 must be a string, not a number", "/command/2 must be a string, not null"}},
		{`{"command":"a 'b"}`, faas.Invalid, []string{"/command cannot be split into words: a single quote"}},
		{`{"env":{"A":1,"B":null}}`, faas.Invalid, []string{"/env/A must be a string", "/env/B must be a string, not null"}},
		{`{"env":["A=1"]}`, faas.Invalid, []string{"/env must be an object, not a list"}},
		{`{"timeout":90}`, faas.Invalid, []string{"/timeout 90 has no unit"}},
		{`{"timeout":"90"}`, faas.Invalid, []string{`/timeout "90" is no duration`}},
		{`{"timeout":"５s"}`, faas.Invalid, []string{`/timeout "５s" is no duration`}},
		{`{"timeout":"99999999h"}`, faas.Invalid, []string{"/timeout"}},
		{`{"timeout":true}`, faas.Invalid, []string{"/timeout must be a string"}},
		{`{"resources":{"memory":"1 Gi"}}`, faas.Invalid, []string{`/resources/memory "1 Gi" is no size`}},
		{`{"resources":{"memory":1.5}}`, faas.Invalid, []string{`/resources/memory "1.5" is no size`}},
		{`{"resources":{"memory":"9999999999Gi"}}`, faas.Invalid, []string{"/resources/memory"}},
		{`{"resources":{"memory":[]}}`, faas.Invalid, []string{"/resources/memory must be a string, not a list"}},
		{`{"resources":{"cpu":true}}`, faas.Invalid, []string{"/resources/cpu must be a string"}},
		{`{"writable_root":"no"}`, faas.Invalid, []string{"/writable_root must be true or false, not a string"}},
		{`{"secrets":"A"}`, faas.Invalid, []string{"/secrets must be a list"}},
		{`{"run_as":{}}`, faas.Invalid, []string{"/run_as must be a string"}},
		{`{"start":["a"]}`, faas.Invalid, []string{"/start must be an object"}},
		{`{"start":{"cmd":"a"}}`, faas.Invalid, []string{"/start/cmd is unknown"}},
		{`{"start":{"command":"a","ready":{"port":"80"}}}`, faas.Invalid, []string{"/start/ready/port must be a number"}},
		{`{"mode":1,"egress":[],"timeout":"0s"}`, faas.Invalid, []string{"/mode must be a string", "/egress must be a string"}}, // the malformed first
		{`{"timeout":"0s","max_concurrency":0,"warm":{"max":0,"concurrency":0,"idle":"0s"},"max_queue":{"calls":0,"wait":"0"},"resources":{"memory":0,"disk":"0"}}`, faas.NotAllowed, []string{
			"/timeout must be more than 0", "/max_concurrency must", "/warm/max must", "/warm/concurrency must", "/warm/idle must",
			"/max_queue/calls must", "/max_queue/wait must", "/resources/memory must", "/resources/disk must",
		}},
		{`{"start":{"command":"a","ready":{"port":0}}}`, faas.NotAllowed, []string{"/start/ready/port must be more than 0"}},
	}
	for _, c := range cases {
		s, err := DecodeFunctionSpec([]byte(c.text))
		kind, texts := faults(err)
		if kind != c.kind || len(texts) != len(c.want) || !reflect.DeepEqual(s, faas.FunctionSpec{}) {
			t.Errorf("%s: %s %q; want %s %q", c.text, kind, texts, c.kind, c.want)
			continue
		}
		for _, want := range c.want {
			if !holdsFault(texts, want) {
				t.Errorf("%s: %q; want %q", c.text, texts, want)
			}
		}
	}
}

func TestDecodeListsAtMostSoManyFaults(t *testing.T) {
	text := `{"command":[` + strings.Repeat("1,", 1000) + `1]}`
	_, err := DecodeFunctionSpec([]byte(text))
	if _, texts := faults(err); len(texts) != maxFieldErrors || !strings.Contains(err.Error(), "(and 99 more)") {
		t.Errorf("%d faults: %v", len(texts), err)
	}
}

// drawFunction makes a spec of all kinds of values, good and bad.
func drawFunction(t *rapid.T) faas.FunctionSpec {
	text := rapid.SampledFrom([]string{"", "a", "root", "internet", "é\n\"", "x/y"})
	number := rapid.IntRange(0, 3)
	duration := rapid.SampledFrom([]faas.Duration{0, 1, faas.Duration(time.Minute), faas.Duration(90 * time.Minute), faas.Duration(1500 * time.Millisecond)})
	size := rapid.SampledFrom([]faas.Bytes{0, 1, faas.MiB, 3 * faas.GiB})
	list := rapid.SliceOfN(text, 1, 3)
	return faas.FunctionSpec{
		Image: text.Draw(t, "image"), BaseImage: text.Draw(t, "base"), Setup: text.Draw(t, "setup"), Command: list.Draw(t, "command"),
		Start: &faas.StartProcess{Command: list.Draw(t, "start"), Ready: &faas.Ready{File: text.Draw(t, "file")}}, Env: map[string]string{text.Draw(t, "name"): text.Draw(t, "value")},
		Secrets: list.Draw(t, "secrets"), Mode: faas.Mode(text.Draw(t, "mode")), Standby: &faas.Standby{Min: number.Draw(t, "min"), Max: number.Draw(t, "max")},
		Warm: &faas.Warm{
			Min: number.Draw(t, "warm min"), Max: number.Draw(t, "warm max"), Concurrency: number.Draw(t, "concurrency"),
			Idle: duration.Draw(t, "idle"), MaxAge: duration.Draw(t, "age"),
		},
		Resources: &faas.Resources{CPU: text.Draw(t, "cpu"), Memory: size.Draw(t, "memory"), Disk: size.Draw(t, "disk"), GPU: number.Draw(t, "gpu")},
		Timeout:   duration.Draw(t, "timeout"), MaxQueue: &faas.MaxQueue{Calls: number.Draw(t, "calls"), Wait: duration.Draw(t, "wait")},
		MaxConcurrency: number.Draw(t, "max concurrency"), RunAs: faas.RunAs(text.Draw(t, "run as")), WritableRoot: rapid.Bool().Draw(t, "root"),
		Egress: text.Draw(t, "egress"), RegistrySecret: text.Draw(t, "registry"),
	}
}

func TestFunctionSpecsSurviveJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := CompleteFunction(drawFunction(t), faas.Defaults{})
		if again := CompleteFunction(s, faas.Defaults{}); !reflect.DeepEqual(again, s) {
			t.Fatalf("Complete twice: %+v, then %+v", s, again)
		}
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var stored faas.FunctionSpec
		if err := json.Unmarshal(b, &stored); err != nil || !reflect.DeepEqual(stored, s) {
			t.Fatalf("%s is read back from a record as %+v, %v", b, stored, err)
		}
		sent, err := DecodeFunctionSpec(b)
		if err != nil || !reflect.DeepEqual(CompleteFunction(sent, faas.Defaults{}), s) {
			t.Fatalf("%s is read back when sent as %+v, %v", b, sent, err)
		}
	})
}

func FuzzDecodeFunctionSpec(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"command":"a 'b c'","start":{"command":["x"],"ready":{"port":1}}}`, `{"warm":{"min":1,"idle":"5m"},"standby":2}`,
		`{"resources":{"cpu":1.5,"memory":"1Gi"},"run_as":0,"env":{"PATH":"x"}}`, `{"timeout":"0s"}`, `{"a":1,"a":2}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := DecodeFunctionSpec(b)
		if err != nil {
			kind, texts := faults(err)
			if kind == faas.TooLarge {
				return
			}
			if kind != faas.Invalid && kind != faas.NotAllowed || len(texts) == 0 {
				t.Fatalf("DecodeFunctionSpec(%q) = %v", b, err)
			}
			return
		}
		complete := CompleteFunction(s, faas.Defaults{})
		if CheckFunction(complete, faas.Capabilities{}) != nil {
			return
		}
		stored, err := json.Marshal(complete)
		if err != nil {
			t.Fatal(err)
		}
		again, err := DecodeFunctionSpec(stored)
		if err != nil || CheckFunction(CompleteFunction(again, faas.Defaults{}), faas.Capabilities{}) != nil {
			t.Fatalf("%q is good, its stored form %s is not: %v", b, stored, err)
		}
	})
}
