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
		{"from --platform=linux/amd64 a as X\ncopy --chown=1 --from=x / /\nCOPY --from=0 / /\nCOPY --from=c / /\n", []string{"a", "c"}, false},
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
