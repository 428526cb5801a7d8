package images

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"testing"

	"davit/e2e/cluster/stage"
)

func cache(t *testing.T) *Cache {
	t.Helper()
	return NewCache(t.TempDir(), stage.New(t.Output(), "test"))
}

// read returns the entries of a tar in their order, and their contents.
func read(t *testing.T, from io.Reader) (names []string, contents map[string][]byte) {
	t.Helper()
	contents = map[string][]byte{}
	for in := tar.NewReader(from); ; {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			return names, contents
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, header.Name)
		if contents[header.Name], err = io.ReadAll(in); err != nil {
			t.Fatal(err)
		}
	}
}

func TestALayerIsMadeOnce(t *testing.T) {
	c := cache(t)
	made := 0
	do := func(ctx context.Context, into io.Writer, report func(string)) error {
		made++
		return Files(File{Name: "a", Mode: 0o644, Text: "text"})(ctx, into, report)
	}
	broken := errors.New("broken")
	if _, err := c.Layer(t.Context(), "one", "1", func(context.Context, io.Writer, func(string)) error { return broken }); !errors.Is(err, broken) {
		t.Fatalf("making a layer that breaks: %v", err)
	}
	first, err := c.Layer(t.Context(), "one", "1", do)
	if err != nil {
		t.Fatal(err)
	}
	second, err := c.Layer(t.Context(), "one", "1", do)
	if err != nil {
		t.Fatal(err)
	}
	if made != 1 || first != second {
		t.Errorf("made %d times, as %v and %v", made, first, second)
	}
}

func TestAboveHasOnlyWhatIsNewOrDifferent(t *testing.T) {
	c := cache(t)
	base, err := c.Layer(t.Context(), "base", "1", Files(
		File{Name: "etc/", Mode: 0o755}, File{Name: "etc/same", Mode: 0o644, Text: "same"}, File{Name: "etc/changed", Mode: 0o644, Text: "old"},
		File{Name: "etc/mode", Mode: 0o644, Text: "same"}, File{Name: "link", Mode: 0o777, Link: "here"},
	))
	if err != nil {
		t.Fatal(err)
	}
	var upper bytes.Buffer
	err = Above(base, Files(
		File{Name: "etc/", Mode: 0o755}, File{Name: "etc/same", Mode: 0o644, Text: "same"}, File{Name: "etc/changed", Mode: 0o644, Text: "new"},
		File{Name: "etc/mode", Mode: 0o755, Text: "same"}, File{Name: "link", Mode: 0o777, Link: "there"}, File{Name: "more", Mode: 0o644, Text: "more"},
	))(t.Context(), &upper, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	names, contents := read(t, &upper)
	if want := []string{"etc/changed", "etc/mode", "link", "more"}; !slices.Equal(names, want) {
		t.Errorf("the layer has %q, want %q", names, want)
	}
	if got := string(contents["etc/changed"]); got != "new" {
		t.Errorf("the changed file has %q", got)
	}
}

func TestAnArchiveHasSharedLayersOnce(t *testing.T) {
	c := cache(t)
	layer, err := c.Layer(t.Context(), "base", "1", Files(File{Name: "a", Mode: 0o644, Text: "text"}))
	if err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	if err := Write(&archive, Image{Ref: "r/one:1", Layers: []Layer{layer}}, Image{Ref: "r/two:1", Layers: []Layer{layer}, Run: Run{User: "7"}}); err != nil {
		t.Fatal(err)
	}
	names, contents := read(t, &archive)
	if want := 4; len(names) != want { // two configurations, a layer, the index
		t.Errorf("the archive has %q, want %d entries", names, want)
	}
	var index []struct {
		Config           string
		RepoTags, Layers []string
	}
	if err := json.Unmarshal(contents["manifest.json"], &index); err != nil {
		t.Fatal(err)
	}
	if len(index) != 2 || index[1].RepoTags[0] != "r/two:1" {
		t.Fatalf("the index is %v", index)
	}
	for _, image := range index {
		sum := sha256.Sum256(contents[image.Layers[0]])
		if got := hex.EncodeToString(sum[:]) + ".tar"; got != image.Layers[0] {
			t.Errorf("the layer %s has the digest %s", image.Layers[0], got)
		}
		if len(contents[image.Config]) == 0 {
			t.Errorf("the configuration %s is not in the archive", image.Config)
		}
	}
}
