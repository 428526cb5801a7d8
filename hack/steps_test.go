// Package hack tests the scripts beside it.
package hack

import (
	"go/ast"
	"go/build/constraint"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// steps are the commands of `make test` and `make test-all` that run tests of this module.
var steps = []struct {
	script, command string
	tags            []string
	runs            func(dir string) bool
	prefix          string // of the tests that the command runs
}{
	{"test", `test -p 4 -timeout 20m "${@:-./...}"`, nil, func(string) bool { return true }, "Test"},
	{"test-all", `test -race -tags all -p 1 -timeout 40m "${packages[@]}"`, []string{"race", "all"}, func(dir string) bool { return dir != "e2e" }, "Test"},
	{"test-all", `test -tags all -timeout 40m ./e2e`, []string{"all"}, func(dir string) bool { return dir == "e2e" }, "Test"},
	{"cluster-e2e/main.go", `-race -p 3 ./gateway/kube ./gateway/docker ./e2e/images"`, []string{"race", "all", "cluster"}, func(dir string) bool {
		return slices.Contains([]string{"gateway/kube", "gateway/docker", "e2e/images"}, dir)
	}, "Test"},
	{"cluster-e2e/main.go", `-run ^TestKube ./e2e"`, []string{"all", "cluster"}, func(dir string) bool { return dir == "e2e" }, "TestKube"},
}

func TestScriptsRunTheSteps(t *testing.T) {
	for _, step := range steps {
		text, err := os.ReadFile(step.script)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), step.command) {
			t.Errorf("hack/%s does not have the command %q", step.script, step.command)
		}
	}
}

// TestEveryTestIsRun: each test of this module is compiled and run in at least one step, whatever the build tags of its
// file.
func TestEveryTestIsRun(t *testing.T) {
	root, tests := filepath.Join(".."), 0
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return skipped(root, path)
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		dir, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		for _, name := range names(file) {
			tests++
			if !isRun(t, filepath.ToSlash(dir), name, file) {
				t.Errorf("no step of make test or make test-all runs %s of %s", name, path)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if tests < 500 {
		t.Errorf("found only %d tests: the walk misses folders", tests)
	}
}

// skipped leaves out what is not of this module, and data of tests.
func skipped(root, dir string) error {
	if dir == root {
		return nil
	}
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	if name := filepath.Base(dir); err == nil || name == "testdata" || strings.HasPrefix(name, ".") || name == "node_modules" {
		return fs.SkipDir
	}
	return nil
}

// names are those of the tests in a file.
func names(file *ast.File) []string {
	var found []string
	for _, d := range file.Decls {
		if f, is := d.(*ast.FuncDecl); is && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Test") && f.Name.Name != "TestMain" {
			found = append(found, f.Name.Name)
		}
	}
	return found
}

func isRun(t *testing.T, dir, name string, file *ast.File) bool {
	t.Helper()
	for _, step := range steps {
		if step.runs(dir) && strings.HasPrefix(name, step.prefix) && compiled(t, file, step.tags) {
			return true
		}
	}
	return false
}

// compiled reports whether the file is compiled with these tags, on Linux.
func compiled(t *testing.T, file *ast.File, tags []string) bool {
	t.Helper()
	for _, group := range file.Comments {
		for _, line := range group.List {
			if line.Pos() > file.Package || !constraint.IsGoBuild(line.Text) {
				continue
			}
			expression, err := constraint.Parse(line.Text)
			if err != nil {
				t.Fatal(err)
			}
			return expression.Eval(func(tag string) bool { return tag == "linux" || tag == "unix" || slices.Contains(tags, tag) })
		}
	}
	return true
}
