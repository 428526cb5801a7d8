package tools

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"davit/e2e/cluster/stage"
)

// greeter writes a module into a folder, with a program that prints the text.
func greeter(t *testing.T, dir, text string) Recipe {
	t.Helper()
	for name, content := range map[string]string{
		"go.mod":        "module greeter\n\ngo 1.24\n",
		"go.sum":        "",
		"hello/main.go": "package main\n\nfunc main() { println(\"" + text + "\") }\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return Recipe{Name: "hello", Version: "v1", Dir: dir, Packages: []string{"./hello"}, Aliases: []string{"hi"}}
}

func TestAProgramIsCompiledOnceAVersionOfItsSource(t *testing.T) {
	var said strings.Builder
	cache := NewCache(t.TempDir(), stage.New(&said, "test"))
	source := t.TempDir()
	folders := map[string]bool{}
	for _, text := range []string{"one", "one", "two"} {
		dir, err := cache.Build(t.Context(), greeter(t, source, text))
		if err != nil {
			t.Fatal(err)
		}
		folders[dir] = true
		output, err := exec.CommandContext(t.Context(), filepath.Join(dir, "hi")).CombinedOutput()
		if err != nil || string(output) != text+"\n" {
			t.Errorf("the program prints %q, %v, want %s", output, err, text)
		}
	}
	if compiled := strings.Count(said.String(), "compile hello v1: "); compiled != 2 || len(folders) != 2 {
		t.Errorf("compiled %d times into %d folders, want 2:\n%s", compiled, len(folders), said.String())
	}
}

func TestABuildThatFailsSaysWhyAndLeavesNothing(t *testing.T) {
	root := t.TempDir()
	recipe := greeter(t, t.TempDir(), `" + nonsense + "`)
	_, err := NewCache(root, stage.New(t.Output(), "test")).Build(t.Context(), recipe)
	if err == nil || !strings.Contains(err.Error(), "undefined: nonsense") {
		t.Errorf("the build ends with %v", err)
	}
	left, err := os.ReadDir(root)
	if err != nil || len(left) > 0 {
		t.Errorf("the build left %v, %v", left, err)
	}
}

func TestProgramsAreNamedAsGoNamesThem(t *testing.T) {
	recipe := Recipe{Packages: []string{"example.org/a/cmd/one", "example.org/two/v3"}, Aliases: []string{"three"}}
	if got, want := strings.Join(recipe.programs(), " "), "one two three"; got != want {
		t.Errorf("the programs are %s, want %s", got, want)
	}
}
