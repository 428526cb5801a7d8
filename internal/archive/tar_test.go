package archive

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
)

// rich returns an archive with an entry of every allowed kind.
func rich(t *testing.T) []byte {
	program := file("bin/run.sh", "#!/bin/sh\n")
	program.Mode = 0o4755
	return tgz(t, folder("./"), link("latest", "bin/run.sh"), program, hard("again", "bin/run.sh"), folder("empty"), file("Dockerfile", "FROM x\n"))
}

func TestTar(t *testing.T) {
	cases := map[string][]string{
		"source": {
			"5 source/ 755 0", "5 source/bin/ 755 0", "0 source/bin/run.sh 755 10", "1 source/again 644 0 source/bin/run.sh",
			"5 source/empty/ 755 0", "0 source/Dockerfile 644 7", "2 source/latest 777 0 bin/run.sh",
		},
		"": {
			"5 bin/ 755 0", "0 bin/run.sh 755 10", "1 again 644 0 bin/run.sh",
			"5 empty/ 755 0", "0 Dockerfile 644 7", "2 latest 777 0 bin/run.sh",
		},
	}
	for prefix, want := range cases {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		packed := rich(t)
		got, err := Tar(t.Context(), bytes.NewReader(packed), w, prefix, nil, wideLimits)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if entries := entriesOf(t, &b); !reflect.DeepEqual(entries, want) {
			t.Errorf("prefix %q: got\n%s\nwant\n%s", prefix, strings.Join(entries, "\n"), strings.Join(want, "\n"))
		}
		checked, err := Check(t.Context(), bytes.NewReader(packed), wideLimits)
		if err != nil || !reflect.DeepEqual(got, checked) {
			t.Errorf("prefix %q: got %+v, Check says %+v, %v", prefix, got, checked, err)
		}
	}
}

// entriesOf lists kind, name, mode, size and target of each entry, and reads the files' contents.
func entriesOf(t *testing.T, r io.Reader) (entries []string) {
	t.Helper()
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return entries
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Uid != 0 || h.Gid != 0 || h.Uname != "" {
			t.Errorf("%s: root is not the owner: %+v", h.Name, h)
		}
		content, err := io.ReadAll(tr)
		if err != nil || int64(len(content)) != h.Size {
			t.Errorf("%s has %d bytes instead of %d, %v", h.Name, len(content), h.Size, err)
		}
		entries = append(entries, strings.TrimSpace(fmt.Sprintf("%c %s %o %d %s", h.Typeflag, h.Name, h.Mode, h.Size, h.Linkname)))
	}
}

func TestTarLeavesOut(t *testing.T) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	skipped := map[string]bool{"bin": true, "again": true, "latest": true, "Dockerfile": true}
	s, err := Tar(t.Context(), bytes.NewReader(rich(t)), w, "", func(name string) bool { return skipped[name] }, wideLimits)
	if err = errors.Join(err, w.Close()); err != nil || s.Files != 2 {
		t.Fatalf("got %+v, %v", s, err)
	}
	if got, want := entriesOf(t, &b), []string{"0 bin/run.sh 755 10", "5 empty/ 755 0"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	var refusal *Refusal
	_, err = Tar(t.Context(), bytes.NewReader(rich(t)), tar.NewWriter(io.Discard), "", func(name string) bool { return name == "bin/run.sh" }, wideLimits)
	if !errors.As(err, &refusal) || refusal.Entry != "again" {
		t.Errorf("a hard link to a file that is left out: got %v", err)
	}
}

func TestTarRefusesAndFails(t *testing.T) {
	var refusal *Refusal
	_, err := Tar(t.Context(), bytes.NewReader(tgz(t, file("a", "a"), link("out", "../b"))), tar.NewWriter(io.Discard), "source", nil, wideLimits)
	if !errors.As(err, &refusal) {
		t.Errorf("a link that leads out: got %v", err)
	}
	broken := errors.New("broken pipe")
	_, err = Tar(t.Context(), bytes.NewReader(rich(t)), tar.NewWriter(failingWriter{broken}), "source", nil, wideLimits)
	if !errors.Is(err, broken) || errors.As(err, &refusal) {
		t.Errorf("a writer that fails: got %v", err)
	}
}

func TestPeek(t *testing.T) {
	cases := []struct {
		name, want string
		most       int64
		refused    bool
	}{
		{name: "Dockerfile", most: 7, want: "FROM x\n"},
		{name: "Dockerfile", most: 6, refused: true},
		{name: "run.sh", most: 100}, // not at the top
		{name: "latest", most: 100}, // a link
		{name: "empty", most: 100},
	}
	for _, c := range cases {
		found, s, err := Peek(t.Context(), bytes.NewReader(rich(t)), c.most, wideLimits, "other", c.name)
		content := found[c.name]
		var refusal *Refusal
		if string(content) != c.want || errors.As(err, &refusal) != c.refused || err != nil && !c.refused {
			t.Errorf("%s: got %q, %v", c.name, content, err)
		}
		if err == nil && s.Files != 2 {
			t.Errorf("%s: the summary is %+v", c.name, s)
		}
	}
}
