package spec

import (
	"strings"
	"testing"

	"github.com/bmatcuk/doublestar/v4"
)

func TestCheckGlob(t *testing.T) {
	good := []string{
		"a", "*.png", "**", "**/*.png", "out/**", "{a,b}.txt", "{a,b/{c,d}}/*", "[a-z]?.csv", "[!a]b", "[^a]", `[\]]`, `\[x\]`, `\{`, "a b", "grüße.txt",
		"...", "..a", "a..b", "a/.hidden", "-x", "stdout", "a]", `a\*`,
	}
	for _, glob := range good {
		if fault := checkGlob(glob); fault != "" {
			t.Errorf("%q %s", glob, fault)
		}
	}
	bad := map[string]string{
		"":                             "is empty",
		"/etc/passwd":                  "absolute",
		`\/etc`:                        "absolute",
		"[/]etc":                       "absolute",
		"{/etc,a}/x":                   "absolute",
		"{a,/etc}/x":                   "absolute",
		"..":                           `".." part`,
		"../a":                         `".." part`,
		"a/../b":                       `".." part`,
		"a/..":                         `".." part`,
		`\.\./a`:                       `".." part`,
		"[.][.]/a":                     `".." part`,
		"{..,a}/b":                     `".." part`,
		"{a/..,b}/c":                   `".." part`,
		"a/./b":                        `"." part`,
		".":                            `"." part`,
		"out/":                         "ends with a slash; write out/**",
		"a//b":                         "two slashes",
		"a\x00":                        "NUL",
		"[":                            "without its class",
		"[]":                           "without its class",
		"[!]":                          "without its class",
		"[a":                           "without its class",
		`[a\]`:                         "without its class",
		"{a":                           "without its }",
		"{a,{b}":                       "without its }",
		"a}":                           "without its {",
		`a\`:                           "ends with a backslash",
		strings.Repeat("{a,b}", 9):     "more than 8",
		strings.Repeat("**/", 9) + "a": "more than 8",
		strings.Repeat("a", 1025):      "at most 1024",
	}
	for glob, want := range bad {
		if fault := checkGlob(glob); !strings.Contains(fault, want) {
			t.Errorf("%q %s; want %q", glob, fault, want)
		}
	}
}

func FuzzCheckGlob(f *testing.F) {
	for _, s := range []string{"a", "**/[a-z]{b,c}", `\`, "[!", "{{}", "[]]", `[\`, "..", `[.]\.`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, glob string) {
		fault := checkGlobSyntax(glob)
		if valid := doublestar.ValidatePattern(glob); valid != (fault == "") {
			t.Fatalf("%q %s; doublestar says %v", glob, fault, valid)
		}
		if checkGlob(glob) != "" {
			return
		}
		for _, outside := range []string{"../a", "a/../b", "..", "/a", "a/..", ".", "./a"} {
			if ok, err := doublestar.Match(glob, outside); err != nil || ok && !strings.ContainsAny(glob, "*?[") {
				t.Fatalf("%q is good and matches %q: %v, %v", glob, outside, ok, err)
			}
		}
	})
}
