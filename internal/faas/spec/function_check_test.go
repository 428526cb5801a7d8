package spec

import (
	"fmt"
	"strings"
	"testing"

	"davit/internal/faas"
)

func TestFunctionCheck(t *testing.T) {
	long := strings.Repeat("x", 200_000)
	cases := []struct {
		change func(s *faas.FunctionSpec)
		want   string
	}{
		{func(s *faas.FunctionSpec) { s.Command = faas.Command{"a", "", "-b"} }, ""},
		{func(s *faas.FunctionSpec) { s.Command = faas.Command{""} }, "/command/0 is empty"},
		{func(s *faas.FunctionSpec) { s.Command = faas.Command{"a", "b\x00"} }, "/command/1 holds a NUL"},
		{func(s *faas.FunctionSpec) { s.Command = faas.Command{"a", long} }, "/command/1 has 200000 bytes; Linux takes less than 131072"},
		{func(s *faas.FunctionSpec) { s.Command = strings.Split(strings.Repeat("x,", 600_000), ",") }, "/command has 1200001 bytes in all"},
		{func(s *faas.FunctionSpec) { s.Start = &faas.StartProcess{} }, "/start/command is missing"},
		{func(s *faas.FunctionSpec) {
			s.Start = &faas.StartProcess{Command: faas.Command{"a"}, Ready: &faas.Ready{}}
		}, "/start/ready has neither"},
		{func(s *faas.FunctionSpec) {
			s.Start = &faas.StartProcess{Command: faas.Command{"a"}, Ready: &faas.Ready{Port: 1, File: "a"}}
		}, "/start/ready has a port and a file"},
		{func(s *faas.FunctionSpec) {
			s.Start = &faas.StartProcess{Command: faas.Command{"a"}, Ready: &faas.Ready{Port: 65536}}
		}, "/start/ready/port must be between 1 and 65535"},
		{func(s *faas.FunctionSpec) {
			s.Start = &faas.StartProcess{Command: faas.Command{"a"}, Ready: &faas.Ready{Port: -1}}
		}, "/start/ready/port must be between 1 and 65535"},
		{func(s *faas.FunctionSpec) {
			s.Start = &faas.StartProcess{Command: faas.Command{"a"}, Ready: &faas.Ready{File: "/ready"}}
		}, "/start/ready/file is absolute"},
		{func(s *faas.FunctionSpec) {
			s.Start = &faas.StartProcess{Command: faas.Command{"a"}, Ready: &faas.Ready{File: "../x"}}
		}, `/start/ready/file holds a ".." part`},
		{func(s *faas.FunctionSpec) {
			s.Start = &faas.StartProcess{Command: faas.Command{"a"}, Ready: &faas.Ready{File: "a//x"}}
		}, "/start/ready/file holds an empty part"},
		{func(s *faas.FunctionSpec) {
			s.Start = &faas.StartProcess{Command: faas.Command{"a"}, Ready: &faas.Ready{File: "a\nx"}}
		}, "/start/ready/file holds a control character"},
		{func(s *faas.FunctionSpec) {
			s.Start = &faas.StartProcess{Command: faas.Command{"a"}, Ready: &faas.Ready{File: long}}
		}, "/start/ready/file has 200000 bytes"},
		{func(s *faas.FunctionSpec) {
			s.Start = &faas.StartProcess{Command: faas.Command{"a"}, Arguments: faas.Command{""}, Ready: &faas.Ready{File: "a/b"}}
		}, ""},
		{func(s *faas.FunctionSpec) {
			s.Start = &faas.StartProcess{Command: faas.Command{"a"}, Arguments: faas.Command{"\x00"}}
		}, "/start/arguments/0 holds a NUL"},
		{func(s *faas.FunctionSpec) {
			s.Env = map[string]string{"A": "", "_b1": "x\ny", "HOME": "/x", "PATHS": "1", "DAVIT": "1"}
		}, ""},
		{func(s *faas.FunctionSpec) { s.Env = map[string]string{"PATH": "x"} }, "/env/PATH PATH is set by Davit"},
		{func(s *faas.FunctionSpec) { s.Env = map[string]string{"LD_PRELOAD": "x"} }, "/env/LD_PRELOAD LD_PRELOAD is reserved"},
		{func(s *faas.FunctionSpec) { s.Env = map[string]string{"DAVIT_X": "x"} }, "/env/DAVIT_X DAVIT_X is reserved"},
		{func(s *faas.FunctionSpec) { s.Env = map[string]string{"KUBERNETES_SERVICE_HOST": "x"} }, "/env/KUBERNETES_SERVICE_HOST"},
		{func(s *faas.FunctionSpec) { s.Env = map[string]string{"A=B": "x"} }, "/env/A=B"},
		{func(s *faas.FunctionSpec) { s.Env = map[string]string{"a/b": "x"} }, "/env/a~1b"},
		{func(s *faas.FunctionSpec) { s.Env = map[string]string{"1A": "x"} }, "/env/1A"},
		{func(s *faas.FunctionSpec) { s.Env = map[string]string{"Ä": "x"} }, "/env/Ä"},
		{func(s *faas.FunctionSpec) { s.Env = map[string]string{"": "x"} }, "/env/"},
		{func(s *faas.FunctionSpec) { s.Env = map[string]string{"A": "\x00"} }, "/env/A holds a NUL"},
		{func(s *faas.FunctionSpec) { s.Env = map[string]string{"A": long} }, "/env/A has 200003 bytes"},
		{func(s *faas.FunctionSpec) { s.Env = map[string]string{strings.Repeat("A", 129): ""} }, "/env/" + strings.Repeat("A", 80) + "… has a name of 129"},
		{func(s *faas.FunctionSpec) {
			s.Env = map[string]string{}
			for i := range 10 {
				s.Env[fmt.Sprint("A", i)] = long[:120_000]
			}
		}, "/env has 1200040 bytes in all"},
		{func(s *faas.FunctionSpec) { s.Mode = "fast" }, `/mode must be "job" or "warm", not "fast"`},
		{func(s *faas.FunctionSpec) { s.Mode = faas.ModeStandby }, "/mode must be"},
		{func(s *faas.FunctionSpec) { s.Standby = &faas.Standby{Min: -1, Max: 3} }, "/standby/min must be between 0 and 1000"},
		{func(s *faas.FunctionSpec) { s.Standby = &faas.Standby{Min: 4, Max: 3} }, "/standby has a min of 4 above its max of 3"},
		{func(s *faas.FunctionSpec) { s.Standby = &faas.Standby{Max: 1001} }, "/standby/max must be between 0 and 1000"},
		{func(s *faas.FunctionSpec) { s.Warm.Min = -1 }, "/warm/min must be between 0 and 1000"},
		{func(s *faas.FunctionSpec) { s.Warm.Max = -1 }, "/warm/max must be between 1 and 1000"},
		{func(s *faas.FunctionSpec) { s.Warm.Min = 6 }, "/warm has a min of 6 above its max of 5"},
		{func(s *faas.FunctionSpec) { s.Warm.Concurrency = 1001 }, "/warm/concurrency must be between 1 and 1000"},
		{func(s *faas.FunctionSpec) { s.Warm.Idle = -1 }, "/warm/idle must be more than 0"},
		{func(s *faas.FunctionSpec) { s.Warm.Idle = maxAge + 1 }, "/warm/idle must be at most 8760h"},
		{func(s *faas.FunctionSpec) { s.Warm.MaxCalls = -1 }, "/warm/max_calls must be between"},
		{func(s *faas.FunctionSpec) { s.Warm.MaxAge = -1 }, "/warm/max_age must be between"},
		{func(s *faas.FunctionSpec) { s.Timeout = maxTimeout }, ""},
		{func(s *faas.FunctionSpec) { s.Timeout = maxTimeout + 1 }, "/timeout must be at most 24h"},
		{func(s *faas.FunctionSpec) { s.Timeout = -1 }, "/timeout must be more than 0"},
		{func(s *faas.FunctionSpec) { s.MaxQueue.Calls = -1 }, "/max_queue/calls must be between 1"},
		{func(s *faas.FunctionSpec) { s.MaxQueue.Wait = -1 }, "/max_queue/wait must be more than 0"},
		{func(s *faas.FunctionSpec) { s.MaxConcurrency = -1 }, "/max_concurrency must be between 1"},
		{func(s *faas.FunctionSpec) { s.MaxConcurrency = 10_001 }, "/max_concurrency must be between 1"},
		{func(s *faas.FunctionSpec) { s.Resources.CPU = "0" }, "/resources/cpu must be between"},
		{func(s *faas.FunctionSpec) { s.Resources.CPU = "-1" }, "/resources/cpu"},
		{func(s *faas.FunctionSpec) { s.Resources.CPU = "1001" }, "/resources/cpu must be between"},
		{func(s *faas.FunctionSpec) { s.Resources.CPU = "two" }, "/resources/cpu"},
		{func(s *faas.FunctionSpec) { s.Resources.Memory = 1 }, "/resources/memory must be between 16Mi and 65536Gi"},
		{func(s *faas.FunctionSpec) { s.Resources.Memory = -faas.GiB }, "/resources/memory must be between"},
		{func(s *faas.FunctionSpec) { s.Resources.Disk = 1 << 60 }, "/resources/disk must be between"},
		{func(s *faas.FunctionSpec) { s.Resources.GPU = -1 }, "/resources/gpu must be between"},
		{func(s *faas.FunctionSpec) { s.RunAs = "1000" }, ""},
		{func(s *faas.FunctionSpec) { s.RunAs = faas.RunAsRoot }, ""},
		{func(s *faas.FunctionSpec) { s.RunAs = faas.RunAsImage }, ""},
		{func(s *faas.FunctionSpec) { s.RunAs = "0" }, `/run_as must be "root"`},
		{func(s *faas.FunctionSpec) { s.RunAs = "-1" }, "/run_as must be a uid"},
		{func(s *faas.FunctionSpec) { s.RunAs = "4294967295" }, "/run_as must be less"},
		{func(s *faas.FunctionSpec) { s.RunAs = "4294967296" }, "/run_as must be a uid"},
		{func(s *faas.FunctionSpec) { s.RunAs = "Root" }, "/run_as must be a uid"},
		{func(s *faas.FunctionSpec) { s.Egress = "all" }, `/egress must be "none" or "internet"`},
		{func(s *faas.FunctionSpec) { s.Setup = "a\x00" }, "/setup holds a NUL"},
		{func(s *faas.FunctionSpec) { s.Setup = long }, "/setup has 200000 bytes"},
		{func(s *faas.FunctionSpec) { s.Image, s.BaseImage = "a", "b" }, "/base_image goes with a source"},
		{func(s *faas.FunctionSpec) { s.Image, s.Setup = "a", "b" }, "/setup goes with a source"},
		{func(s *faas.FunctionSpec) { s.Secrets = []string{"A", "PATH"} }, "/secrets/1 PATH is set by Davit"},
		{func(s *faas.FunctionSpec) { s.Secrets, s.Env = []string{"A"}, map[string]string{"A": ""} }, `/secrets/0 "A" is in env, too`},
		{func(s *faas.FunctionSpec) { s.Secrets = make([]string, 2000) }, "/secrets has 2000 entries"},
		{func(s *faas.FunctionSpec) { s.RegistrySecret = "A b" }, "/registry_secret"},
		{func(s *faas.FunctionSpec) { s.RegistrySecret = "my-login" }, ""},
	}
	for i, c := range cases {
		s := defaultFunction()
		c.change(&s)
		texts := fieldTexts(CheckFunction(s, everything()))
		switch {
		case c.want == "" && texts != nil:
			t.Errorf("case %d: %q", i, texts)
		case c.want != "" && (len(texts) != 1 && !strings.Contains(c.want, "/standby/") && !strings.Contains(c.want, "/warm/m") || !holdsFault(texts, c.want)):
			t.Errorf("case %d: %q; want %q", i, texts, c.want)
		}
	}
}

func TestFunctionCheckOfImages(t *testing.T) {
	digest := "@sha256:" + strings.Repeat("a", 64)
	good := []string{"debian", "debian:13", "python:3.13-slim", "team/app", "registry.example.com/team/app:v1" + digest, "localhost:5000/a", "[::1]:5000/a", "a" + digest, "a__b/c-d.e"}
	bad := []string{
		"-debian", "--help", "Debian", "a:", "a b", "user:secret@host/a", "https://host/a", "a" + digest[:70], "a@md5:" + strings.Repeat("a", 32),
		"a" + strings.ToUpper(digest), "/a", "a/", "a//b", "a\x00", "a:-x", "a\nb", strings.Repeat("a", 600), "a:" + strings.Repeat("b", 129),
	}
	for _, ref := range good {
		for _, s := range []faas.FunctionSpec{{Image: ref}, {BaseImage: ref}} {
			if faults := CheckFunction(s, everything()); faults != nil {
				t.Errorf("%q: %v", ref, faults)
			}
		}
	}
	for _, ref := range bad {
		if texts := fieldTexts(CheckFunction(faas.FunctionSpec{Image: ref}, everything())); len(texts) != 1 || !holdsFault(texts, "/image ") {
			t.Errorf("image %q: %q", ref, texts)
		}
		if texts := fieldTexts(CheckFunction(faas.FunctionSpec{BaseImage: ref}, everything())); len(texts) != 1 || !holdsFault(texts, "/base_image ") {
			t.Errorf("base image %q: %q", ref, texts)
		}
	}
}

func TestFunctionCheckOfCapabilities(t *testing.T) {
	const why = "it needs a cluster"
	cases := map[string]string{
		`{"image":"a"}`:              "/image running an image is not available here: " + why,
		`{"base_image":"a"}`:         "/base_image building on an image is not available here: " + why,
		`{"setup":"make"}`:           "/setup running a setup command",
		`{"secrets":["A"]}`:          "/secrets giving secrets",
		`{"registry_secret":"r"}`:    "/registry_secret a login",
		`{"run_as":1000}`:            "/run_as running as a uid other than 65532",
		`{"run_as":"root"}`:          "/run_as running as a uid other than 65532",
		`{"run_as":"image"}`:         "/run_as running as a uid other than 65532",
		`{"writable_root":true}`:     "/writable_root a writable root",
		`{"egress":"internet"}`:      "/egress access to the internet",
		`{"resources":{"gpu":1}}`:    "/resources/gpu a GPU",
		`{"secrets":[]}`:             "",
		`{"run_as":"65532"}`:         "",
		`{"standby":3,"warm":{}}`:    "",
		`{"image":"","egress":null}`: "",
	}
	for text, want := range cases {
		s, err := DecodeFunctionSpec([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		texts := fieldTexts(CheckFunction(CompleteFunction(s, faas.Defaults{}), faas.Capabilities{Why: why}))
		if want == "" && texts != nil || want != "" && (len(texts) != 1 || !holdsFault(texts, want)) {
			t.Errorf("%s: %q; want %q", text, texts, want)
		}
		if faults := CheckFunction(CompleteFunction(s, faas.Defaults{}), everything()); faults != nil {
			t.Errorf("%s: refused where everything is there: %v", text, faults)
		}
	}
}

func TestParseCPU(t *testing.T) {
	good := map[string]int64{"500m": 500, "0.5": 500, "2": 2000, "1.25": 1250, "0.001": 1, "1m": 1, "0": 0, "0.0": 0, "1000": 1_000_000, "4294967295m": 4294967295}
	for s, want := range good {
		if got, err := ParseCPU(s); err != nil || got != want {
			t.Errorf("ParseCPU(%q) = %d, %v; want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"", "m", "-1", "+1", "1.", ".5", "1e3", "0.0005", "0.5m", "1 ", " 1", "1_0", "0x1", "½", "５", "NaN", "inf", "4294967296", "1.2.3", "1Ki"} {
		if got, err := ParseCPU(s); err == nil {
			t.Errorf("ParseCPU(%q) = %d", s, got)
		}
	}
}
