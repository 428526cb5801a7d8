package form

import (
	"encoding/json"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"davit/internal/faas"
)

func TestParseArguments(t *testing.T) {
	cases := []struct {
		text string
		want []string
	}{
		{"", nil},
		{" \r\n", nil},
		{"[]", nil},
		{" [ ] ", nil},
		{`["a", "b c", "\u00e9\n"]`, []string{"a", "b c", "é\n"}},
		{`['a', 'b c']`, []string{"a", "b c"}},
		{`['a', "b's", 'say "x"',]`, []string{"a", "b's", `say "x"`}},
		{`[ 'a' , ` + "\n\t" + `"b" ] `, []string{"a", "b"}},
		{`['\'\"\\\n\t\x41\u00e9\U0001F600\101\0', '\d\.', '\` + "\n" + `x']`, []string{"'\"\\\n\tAé😀A\x00", `\d\.`, "x"}},
		{`['', '']`, []string{"", ""}},
		{`['é日']`, []string{"é日"}},
		{`--port 5000 'a b'`, []string{"--port", "5000", "a b"}},
		{`a [b]`, []string{"a", "[b]"}},
	}
	for _, c := range cases {
		got, err := ParseArguments(c.text)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("ParseArguments(%q) = %q, %v; want %q", c.text, got, err, c.want)
		}
	}
	for text, want := range map[string]string{
		`[1, "a"]`:       "/0 must be a string, not a number",
		`[["a"]]`:        "/0 must be a string, not a list",
		`['a'`:           "missing before",
		`['a' 'b']`:      "a comma or ] is missing",
		`['a', 5]`:       "not a string in quotes",
		`['a', None]`:    "not a string in quotes",
		`[,]`:            "not a string in quotes",
		`['a',,]`:        "not a string in quotes",
		`['a]`:           "before its quote is closed",
		"['a\nb']":       "before its quote is closed",
		`['a'] b`:        "after the list comes",
		`['\x4']`:        "not a character",
		`['\u12']`:       "not a character",
		`['\u1`:          "within an escape",
		`['\ud800']`:     "not a character",
		`['\UFFFFFFFF']`: "not a character",
		`['\`:            "backslash",
		`[`:              "not closed",
		`['a',`:          "not closed",
		`[f'a']`:         "not a string in quotes",
		`a 'b`:           "quote is not closed",
	} {
		if got, err := ParseArguments(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseArguments(%q) = %q, %v; want an error with %q", text, got, err, want)
		}
	}
}

func TestFormArgumentsReadsEveryJSONList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOf(rapid.String()).Draw(t, "list")
		b, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ParseArguments(string(b)); err != nil || !slices.Equal(got, want) {
			t.Fatalf("ParseArguments(%s) = %q, %v", b, got, err)
		}
	})
}

func FuzzParseArguments(f *testing.F) {
	for _, s := range []string{`['a', "b"]`, `["\x41"]`, `a 'b'`, `['\`, `['\777']`, `[`, `['\u00e9',]`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		list, err := ParseArguments(s)
		if err != nil && list != nil {
			t.Errorf("ParseArguments(%q) = %q and %v", s, list, err)
		}
	})
}

func TestParseCommand(t *testing.T) {
	cases := []struct {
		line  string
		want  faas.Command
		style faas.ArgumentStyle
	}{
		{"", faas.Command{}, faas.Counted},
		{"python3 app.py", faas.Command{"python3", "app.py"}, faas.Counted},
		{"python3 app.py {field:x}", faas.Command{"python3", "app.py", "{field:x}"}, faas.Placeholders},
		{"/bin/bash -c python3 app.py", faas.Command{"/bin/bash", "-c", `python3 app.py "$@"`, "davit"}, faas.Counted},
		{"sh -c ls", faas.Command{"sh", "-c", `ls "$@"`, "davit"}, faas.Counted},
		{"  bash   -lc   python3\tapp.py  ", faas.Command{"bash", "-lc", "python3\tapp.py \"$@\"", "davit"}, faas.Counted},
		{"dash -ec python3 'my app.py'", faas.Command{"dash", "-ec", `python3 'my app.py' "$@"`, "davit"}, faas.Counted},
		{"sh -c echo $HOME | wc", faas.Command{"sh", "-c", `echo $HOME | wc "$@"`, "davit"}, faas.Counted},
		{"sh -c 'cd x && python3 app.py'", faas.Command{"sh", "-c", `cd x && python3 app.py "$@"`, "davit"}, faas.Counted},
		{"sh -c 'cd x && python3 app.py' name", faas.Command{"sh", "-c", `cd x && python3 app.py "$@"`, "name"}, faas.Counted},
		{`sh -c 'python3 app.py "$@"' name`, faas.Command{"sh", "-c", `python3 app.py "$@"`, "name"}, faas.Counted},
		{`sh -c 'wc -c "$1"'`, faas.Command{"sh", "-c", `wc -c "$1"`, "davit"}, faas.Counted},
		{`sh -c wc -c "$2"`, faas.Command{"sh", "-c", `wc -c "$2"`, "davit"}, faas.Counted},
		{"sh -c python3 app.py {field:x} last", faas.Command{"sh", "-c", `python3 app.py "$@"`, "davit", "{field:x}", "last"}, faas.Placeholders},
		{"sh -c ls {files}", faas.Command{"sh", "-c", `ls "$@"`, "davit", "{files}"}, faas.Placeholders},
		{"sh -c 'ls -l' {files}", faas.Command{"sh", "-c", `ls -l "$@"`, "davit", "{files}"}, faas.Placeholders},
		{"sh -c 'ls -l' x {files}", faas.Command{"sh", "-c", `ls -l "$@"`, "x", "{files}"}, faas.Placeholders},
		{"sh -c {field:script}", faas.Command{"sh", "-c", "{field:script}"}, faas.Placeholders},
		{"sh -c", faas.Command{"sh", "-c"}, faas.Counted},
		{"sh app.sh", faas.Command{"sh", "app.sh"}, faas.Counted},
		{"sh -x app.sh -c y", faas.Command{"sh", "-x", "app.sh", "-c", "y"}, faas.Counted},
		{"./run.sh -c conf", faas.Command{"./run.sh", "-c", "conf"}, faas.Counted},
		{"publish -c conf", faas.Command{"publish", "-c", "conf"}, faas.Counted},
		{"sh -c 'a\r\nb'", faas.Command{"sh", "-c", "a\nb \"$@\"", "davit"}, faas.Counted},
		{"awk '{print $1}'", faas.Command{"awk", "{print $1}"}, faas.Counted},
	}
	for _, c := range cases {
		got, style, err := ParseCommand(c.line)
		if err != nil || style != c.style || !slices.Equal(got, c.want) {
			t.Errorf("ParseCommand(%q) = %q, %s, %v; want %q, %s", c.line, got, style, err, c.want, c.style)
		}
	}
	for line, want := range map[string]string{"a 'b": "quote is not closed", "a --x={field:x}": "whole argument"} {
		if got, _, err := ParseCommand(line); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseCommand(%q) = %q, %v; want an error with %q", line, got, err, want)
		}
	}
}

func TestFormCommandsGetTheirArguments(t *testing.T) {
	arguments := []string{"2", "a b", "$(id)", "1", "x'y"}
	for _, line := range []string{"sh -c printf '<%s>'", `sh -c "printf '<%s>'"`, `/bin/sh -c 'printf "<%s>" "$@"' x`} {
		command, _, err := ParseCommand(line)
		if err != nil {
			t.Fatal(err)
		}
		command = append(command, arguments...)
		out, err := exec.CommandContext(t.Context(), command[0], command[1:]...).Output()
		if want := "<2><a b><$(id)><1><x'y>"; err != nil || string(out) != want {
			t.Errorf("%q prints %q, %v; want %q", command, out, err, want)
		}
	}
}

func TestTriggerNameForPath(t *testing.T) {
	cases := map[string]faas.TriggerName{
		"/thumbnail":                         "thumbnail",
		"/a-b":                               "a-b",
		"/2":                                 "2",
		"/a/b":                               "a-b-7c44adc5",
		"/":                                  "root-8a5edab2",
		"/Thumbnail":                         "thumbnail-1bb84e40",
		"/a-b-7c44adc5":                      "a-b-7c44adc5-01b9f5d2",
		"/users/:id/*":                       "users-id-aaaaaaaa",
		"/über":                              "ber-aaaaaaaa",
		"thumbnail":                          "thumbnail-aaaaaaaa",
		"//thumbnail":                        "thumbnail-aaaaaaaa",
		"/-thumbnail":                        "thumbnail-aaaaaaaa",
		"/日本":                                "root-aaaaaaaa",
		"":                                   "root-aaaaaaaa",
		"/thumbnail/":                        "thumbnail-aaaaaaaa",
		"/thumbnail\x00\n":                   "thumbnail-aaaaaaaa",
		"/" + strings.Repeat("a", 63):        faas.TriggerName(strings.Repeat("a", 63)),
		"/" + strings.Repeat("a", 64):        faas.TriggerName(strings.Repeat("a", 54) + "-aaaaaaaa"),
		"/" + strings.Repeat("a", 53) + "/b": faas.TriggerName(strings.Repeat("a", 53) + "-aaaaaaaa"),
	}
	seen := map[faas.TriggerName]string{}
	for path, want := range cases {
		got := NameForPath(path)
		if fault := got.Check(); fault != "" {
			t.Errorf("TriggerNameForPath(%q) = %q, which %s", path, got, fault)
		}
		if other, taken := seen[got]; taken {
			t.Errorf("TriggerNameForPath(%q) = %q, which is the name for %q", path, got, other)
		}
		seen[got] = path
		if hashedName.MatchString(string(want)) {
			got, want = got[:len(got)-8], want[:len(want)-8]
		}
		if got != want {
			t.Errorf("TriggerNameForPath(%q) = %q, want %q", path, got, want)
		}
	}
	if a, b := NameForPath("/a/b"), NameForPath("/a/b"); a != b {
		t.Errorf("the same path gives %q and %q", a, b)
	}
}

func TestTriggerNamesDiffer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		path := rapid.StringMatching(`/[aA/b:\-0é]{0,8}`)
		a, b := path.Draw(t, "a"), path.Draw(t, "b")
		name := NameForPath(a)
		if fault := name.Check(); fault != "" {
			t.Fatalf("%q gives %q, which %s", a, name, fault)
		}
		if again := NameForPath("/" + string(name)); again == name && "/"+string(name) != a {
			t.Fatalf("%q gives %q, which is the name for /%s, too", a, name, name)
		}
		if a != b && name == NameForPath(b) {
			t.Fatalf("%q and %q give %q", a, b, name)
		}
	})
}

func TestFormMethods(t *testing.T) {
	for _, c := range []struct{ values, want []string }{
		{nil, nil},
		{[]string{""}, nil},
		{[]string{"get"}, []string{"GET"}},
		{[]string{"get", "post"}, []string{"GET", "POST"}},
		{[]string{"get, POST"}, []string{"GET", "POST"}},
		{[]string{"post get\tpost"}, []string{"POST", "GET"}},
		{[]string{"brew"}, []string{"BREW"}},
	} {
		if got := ParseMethods(c.values); !reflect.DeepEqual(got, c.want) {
			t.Errorf("FormMethods(%q) = %q, want %q", c.values, got, c.want)
		}
	}
}
