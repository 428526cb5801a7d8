package faas

import (
	"context"
	"os/exec"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestSplitWords(t *testing.T) {
	cases := []struct {
		line string
		want []string
	}{
		{"", []string{}},
		{" \t\r\n ", []string{}},
		{"python3 app.py", []string{"python3", "app.py"}},
		{"  a \t b\nc\r\nd ", []string{"a", "b", "c", "d"}},
		{`a 'b c' "d e"`, []string{"a", "b c", "d e"}},
		{`a''b "" ''`, []string{"ab", "", ""}},
		{`a"b"'c'd\ e`, []string{"abcd e"}},
		{`'a\b"c'`, []string{`a\b"c`}},
		{`"a\b\"c\\d\$e\` + "`" + `"`, []string{`a\b"c\d$e` + "`"}},
		{"\"a\\\nb\" c\\\nd \\\n e", []string{"ab", "cd", "e"}},
		{`# no 'comment' a#b`, []string{"#", "no", "comment", "a#b"}},
		{`$HOME ~ *.png $(id) ` + "`id`" + ` | > x; {a,b} && !`, []string{"$HOME", "~", "*.png", "$(id)", "`id`", "|", ">", "x;", "{a,b}", "&&", "!"}},
		{`grüße '日本 語'`, []string{"grüße", "日本 語"}},
		{"a\x00b", []string{"a\x00b"}},
		{"a\vb", []string{"a\vb"}},
	}
	for _, c := range cases {
		got, err := SplitWords(c.line)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("SplitWords(%q) = %q, %v; want %q", c.line, got, err, c.want)
		}
	}
}

func TestSplitWordsRefusesWhatIsNotClosed(t *testing.T) {
	cases := map[string]string{
		`a 'b`:     "single quote is not closed",
		`a "b`:     "double quote is not closed",
		`a "b\"`:   "double quote is not closed",
		`a "b\`:    "double quote is not closed",
		`a b\`:     "ends with a backslash",
		`'a' 'b`:   "single quote is not closed",
		`"it's" '`: "single quote is not closed",
	}
	for line, want := range cases {
		if got, err := SplitWords(line); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("SplitWords(%q) = %q, %v; want an error with %q", line, got, err, want)
		}
	}
}

// shellWords is how /bin/sh splits a line that it expands nothing in.
func shellWords(t *testing.T, line string) []string {
	t.Helper()
	// The x keeps printf from running without arguments.
	script := `set -f; printf '%s\0' x ` + line
	out, err := exec.CommandContext(context.Background(), "/bin/sh", "-c", script).Output()
	if err != nil {
		t.Fatalf("/bin/sh -c %q: %v", script, err)
	}
	return strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")[1:]
}

func TestSplitWordsAsTheShell(t *testing.T) {
	lines := []string{
		"", "a", "a b  c", `'a b' c`, `"a b" c`, `a\ b c`, `a\\b`, `'a\\b'`, `"a\\b"`, `"a\b"`, `"\$a"`, `\$a`, `'$a'`,
		`"'"`, `'"'`, `\'`, `\"`, `a'b'"c"d`, `''`, `"" ''`, `a#b`, `'#'`, `\# x`, "a\tb", "'a\nb'", `a=b`, `--x='y z'`, `"\` + "`" + `"`,
		`python3 -c 'print("hi there")'`, `sh -c "echo \"x\" y"`, `é 'ü ö'`, "a\\\nb", "\"a\\\nb\"",
	}
	for _, line := range lines {
		got, err := SplitWords(line)
		if want := shellWords(t, line); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("SplitWords(%q) = %q, %v; sh says %q", line, got, err, want)
		}
	}
}

func TestSplitWordsAsTheShellAtRandom(t *testing.T) {
	// Characters that mean the same to a shell that is told to expand nothing; # only within words.
	pieces := rapid.SampledFrom([]string{
		"a", "B", "7", "-", "=", ".", "/", "é", " ", "  ", "\t", "'", `"`, `\\`, `\"`, `\'`, `\ `, "''", `""`, "' '", `" "`, `\$`, "x#",
	})
	rapid.Check(t, func(rt *rapid.T) {
		line := strings.Join(rapid.SliceOfN(pieces, 0, 12).Draw(rt, "pieces"), "")
		got, err := SplitWords(line)
		if err != nil {
			rt.Skip("sh would wait for the quote to be closed")
		}
		if want := shellWords(t, line); !reflect.DeepEqual(got, want) {
			rt.Fatalf("SplitWords(%q) = %q; sh says %q", line, got, want)
		}
	})
}

// quoteWord writes a word so that SplitWords reads it back.
func quoteWord(w string) string { return "'" + strings.ReplaceAll(w, "'", `'\''`) + "'" }

func FuzzSplitWords(f *testing.F) {
	for _, s := range []string{"", "a b", `'a b' "c\"d" e\ f`, `a 'b`, "\\", "\"\\", "a\x00\xffb", "''"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		words, err := SplitWords(line)
		if err != nil {
			return
		}
		quoted := make([]string, len(words))
		size := 0
		for i, w := range words {
			quoted[i] = quoteWord(w)
			size += len(w)
		}
		if size > len(line) {
			t.Errorf("%q has %d bytes of words, more than it has itself", line, size)
		}
		again, err := SplitWords(strings.Join(quoted, " "))
		if err != nil || !reflect.DeepEqual(again, words) {
			t.Errorf("the words of %q are %q; quoted and split again %q, %v", line, words, again, err)
		}
	})
}
