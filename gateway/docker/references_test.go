package docker

import (
	"slices"
	"strings"
	"testing"

	"davit/internal/faas"
)

func TestReferences(t *testing.T) {
	cases := []struct {
		dockerfile string
		want       []string
		refused    bool
	}{
		{"FROM a\nFROM b:1 AS x\nFROM x\nFROM scratch\nFROM a\n", []string{"a", "b:1"}, false},
		{"from --platform=linux/amd64 a as X\ncopy --chown=1 --from=x / /\nCOPY --from=0 / /\nCOPY --from=c / /\n", []string{"a", "x", "c"}, false},
		{"ARG V=3\nARG N=\"py:$V\"\nFROM ${N}\nFROM py:${W:-4}\nFROM py:${V:-5}\n", []string{"py:3", "py:4"}, false},
		{"# escape=`\nFROM `\n# between\n a\nRUN dir C:\\\nFROM b\n", []string{"a", "b"}, false},
		{"\xef\xbb\xbfFROM \\\n  # comment\n\n  a\r\nRUN echo \\\n FROM no\n", []string{"a"}, false},
		{"FROM a\nARG V=1\nFROM b:$V\n", nil, true},
		{"FROM $\n", nil, true},
		{"FROM ${A\n", nil, true},
		{"FROM a\nCOPY --from=$X / /\n", nil, true},
		{"FROM a\nCOPY --from=7 / /\n", []string{"a", "7"}, false},
		{"FROM --platform=x\n", nil, true},
		{"FROM\n", nil, true},
		{"", nil, true},

		// The names of stages: known after their end, in any case; numbers of earlier stages.
		{"FROM a AS x\nFROM b\nCOPY --from=X / /\nCOPY --from=0 / /\n", []string{"a", "b"}, false},
		{"FROM a AS x\nCOPY --from=x / /\nFROM x\n", []string{"a", "x"}, false},
		{"FROM x AS x\nFROM X AS y\nFROM y\n", []string{"x"}, false},
		{"FROM a\nCOPY --from=-1 / /\nCOPY --from=scratch / /\n", []string{"a", "-1", "scratch"}, false},
		{"FROM a AS x extra\n", nil, true},
		{"RUN true\nFROM a\n", nil, true},

		// Where a --from may stand, and how it may be written.
		{"FROM a\nCOPY --from=\"b\" --chown=1 / /\n", []string{"a", "b"}, false},
		{"FROM a\nCOPY --chown=1 \\\n  --from=b / /\n", []string{"a", "b"}, false},
		{"FROM a\nCOPY / --from=b /\n", []string{"a"}, false},
		{"FROM a\nCOPY --from=b --from=c / /\n", nil, true},
		{"FROM a\nADD --from=b / /\n", nil, true},
		{"ARG V=b\nFROM a\nCOPY --from=$V / /\n", nil, true},
		{"FROM a\nRUN --mount=type=bind,from=b,target=/b true\nRUN --mount=type=cache,target=/c true\n", []string{"a", "b"}, false},
		{"FROM a AS x\nFROM b\nRUN --mount=from=x,target=/b --mount=from=0,target=/c true\n", []string{"a", "b"}, false},
		{"FROM a AS x\nONBUILD COPY --from=b / /\nFROM x\n", []string{"a", "b"}, false},
		{"FROM a AS x\nFROM b\nONBUILD copy --from=x / /\n", []string{"a", "b", "x"}, false},
		{"FROM a\nONBUILD RUN --mount=from=b,target=/b true\nONBUILD ENV A=1\n", []string{"a", "b"}, false},
		{"FROM a\nONBUILD COPY --from=$B / /\n", nil, true},
		{"FROM a\nONBUILD ONBUILD COPY --from=b / /\n", nil, true},

		// Arguments have the values that the daemon gives them, to which no build argument is passed.
		{"ARG V=1 W=$V\nFROM a:${W:-2}\n", []string{"a:2"}, false},
		{"ARG V=1\nARG V\nFROM a:$V\n", nil, true},
		{"ARG V=1\nARG V\nFROM a:${V:-2}\n", []string{"a:2"}, false},
		{"ARG V='a b'\nFROM $V\n", nil, true},
		{"ARG V='$W'\nFROM a:$V\n", nil, true},
		{"ARG V=a\nFROM ${V}b AS x\nFROM \"${V}\"\nFROM '${V}'\n", nil, true},
		{"ARG V=a\nFROM ${V:+b}\nFROM c${W:+b}\n", []string{"b", "c"}, false},
		{"ARG V=a:1.2\nFROM ${V%.*}\n", []string{"a:1"}, false},
		{"ARG V=a\nFROM ${V!x}\n", nil, true},
		{"ARG V=x\nFROM a AS x\nFROM $V\n", []string{"a"}, false},
		{"FROM a\\:1\n", []string{"a:1"}, false},
		{"FROM --platform=$BUILDPLATFORM a\n", []string{"a"}, false},

		// Lines: continued, comments between, directives, heredocs.
		{"# syntax=docker/dockerfile:1\nFROM a\n", []string{"a"}, false},
		{"# hello\n# escape=`\nFROM a\nRUN x `\nFROM b\n", []string{"a", "b"}, false},
		{"# syntax=docker/dockerfile:1\n# escape=`\nFROM a\nRUN x `\nFROM b\n", []string{"a"}, false},
		{"#escape = `\r\nFROM a`\r\n:1\r\n", []string{"a:1"}, false},
		{"# escape=`\n# escape=`\nFROM a\n", nil, true},
		{"# escape=x\nFROM a\n", nil, true},
		{"FROM a\nRUN echo \\\\\nFROM b\n", []string{"a", "b"}, false},
		{"FROM a\nRUN echo \\ \t\n FROM b\n", []string{"a"}, false},
		{"FROM a\n# comment \\\nFROM b\n", []string{"a", "b"}, false},
		{"FROM a\nRUN <<EOF\nFROM b\nEOF\n", nil, true},
		{"FROM a\nCOPY <<EOF /x\nFROM b\nEOF\n", nil, true},
		{"FROM a\nONBUILD RUN <<EOF\nFROM b\nEOF\n", nil, true},
		{"FROM a\nRUN cat <<EOF\n", nil, true},
		{"FROM a\nRUN echo '<<EOF' \"<<EOF\" <<<x\n", []string{"a"}, false},
		{"FROM a\nRUN echo " + strings.Repeat("x", 70_000) + "\nFROM b\n", nil, true},
	}
	for _, c := range cases {
		got, err := references([]byte(c.dockerfile))
		if !slices.Equal(got, c.want) || (err != nil) != c.refused {
			t.Errorf("%q: got %q, %v", c.dockerfile, got, err)
		}
		if err != nil && faas.KindOf(err) != faas.BuildFailed {
			t.Errorf("%q: got %v", c.dockerfile, err)
		}
	}
}

func TestTriggered(t *testing.T) {
	for _, c := range []struct {
		expressions []string
		want        []string
		refused     bool
	}{
		{nil, nil, false},
		{[]string{"RUN true", "COPY . /", "COPY --from=a / /", "copy --from=0 / /"}, []string{"a", "0"}, false},
		{[]string{"COPY --from=$A / /"}, nil, true},
		{[]string{"RUN true\nCOPY --from=a / /"}, nil, true},
		{[]string{""}, nil, true},
		{[]string{"FROM a"}, nil, true},
		{[]string{"NOTHING"}, nil, true},
	} {
		got, err := triggered(c.expressions)
		if !slices.Equal(got, c.want) || (err != nil) != c.refused {
			t.Errorf("%q: got %q, %v", c.expressions, got, err)
		}
	}
}

func FuzzReferences(f *testing.F) {
	f.Add("ARG V=3\nFROM ${V:-x}$V AS a\nCOPY --from=a / /\n")
	f.Fuzz(func(t *testing.T, dockerfile string) {
		images, err := references([]byte(dockerfile))
		for _, image := range images {
			if err != nil || image == "" || strings.ContainsAny(image, "$ \n") {
				t.Errorf("%q is no image, %v", image, err)
			}
		}
	})
}
