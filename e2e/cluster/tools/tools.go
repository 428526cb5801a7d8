// Package tools compiles the programs that a cluster is made of and keeps them in a cache by version, so that
// each is compiled once on a machine. Start at [Cache.Build].
package tools

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"davit/e2e/cluster/stage"
)

// Recipe is how a program comes about, or several of one module.
type Recipe struct {
	// Name and Version name the folder in the cache.
	Name    string
	Version string
	// Packages are the import paths of the programs, of the module proxy at that version, or below Dir.
	Packages []string
	// Dir is the folder of a module to build in; with none, the packages come from the module proxy.
	Dir string
	// Sources are further folders below Dir that make a new version when they change.
	Sources []string
	// Aliases are names that the (only) program goes by too.
	Aliases []string
	// LDFlags, Tags and CGO are Go's.
	LDFlags string
	Tags    string
	CGO     bool
}

// Cache is a folder with a folder NAME@VERSION for each recipe.
type Cache struct {
	root string
	log  *stage.Log
}

// NewCache keeps programs below the root and tells of its work in the log.
func NewCache(root string, log *stage.Log) *Cache {
	return &Cache{root: root, log: log}
}

// Build returns the folder with the recipe's programs, and compiles them first if they are not there. A build that
// is cut off leaves nothing that a later one takes for its result.
func (c *Cache) Build(ctx context.Context, recipe Recipe) (string, error) {
	version := recipe.Version
	if recipe.Dir != "" {
		sum, err := fingerprint(recipe)
		if err != nil {
			return "", fmt.Errorf("build %s: %w", recipe.Name, err)
		}
		version += "-" + sum
	}
	dir := filepath.Join(c.root, recipe.Name+"@"+version)
	if recipe.in(dir) {
		return dir, nil
	}
	err := c.log.Run("compile "+recipe.Name+" "+recipe.Version, func(report func(string)) error {
		return recipe.build(ctx, dir, report)
	})
	return dir, err
}

// in tells whether all programs are in the folder.
func (r Recipe) in(dir string) bool {
	for _, name := range r.programs() {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode()&0o111 == 0 {
			return false
		}
	}
	return true
}

func (r Recipe) programs() []string {
	var names []string
	for _, path := range r.Packages {
		name := filepath.Base(path)
		// Go names a program after its module where the path ends in a major version.
		if len(name) > 1 && name[0] == 'v' && strings.Trim(name[1:], "0123456789") == "" {
			name = filepath.Base(filepath.Dir(path))
		}
		names = append(names, name)
	}
	return append(names, r.Aliases...)
}

func (r Recipe) build(ctx context.Context, dir string, report func(string)) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil { //nolint:gosec // programs are no secret
		return err
	}
	made := dir + ".making"
	// What an earlier build left that was cut off; two at a time there are not.
	if err := os.RemoveAll(made); err != nil {
		return err
	}
	if err := os.Mkdir(made, 0o755); err != nil { //nolint:gosec // as above
		return err
	}
	defer os.RemoveAll(made)
	if err := r.compile(ctx, made, report); err != nil {
		return err
	}
	for _, alias := range r.Aliases {
		if err := os.Symlink(r.programs()[0], filepath.Join(made, alias)); err != nil {
			return err
		}
	}
	// What is there is not whole, else there would have been nothing to build.
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.Rename(made, dir)
}

func (r Recipe) compile(ctx context.Context, into string, report func(string)) error {
	args := []string{"-n", "10", "go"}
	flags := []string{"-v", "-trimpath", "-ldflags", "-s -w " + r.LDFlags, "-tags", r.Tags}
	if r.Dir != "" {
		args = append(append(args, "build", "-o", into+"/"), flags...)
		args = append(args, r.Packages...)
	} else {
		args = append(append(args, "install"), flags...)
		for _, path := range r.Packages {
			args = append(args, path+"@"+r.Version)
		}
	}
	cmd := exec.CommandContext(ctx, "nice", args...)
	cmd.Dir = r.Dir
	if cmd.Dir == "" {
		// Away from any module, whose go.mod must not choose the program's dependencies.
		cmd.Dir = "/"
	}
	cgo := "CGO_ENABLED=0"
	if r.CGO {
		cgo = "CGO_ENABLED=1"
	}
	cmd.Env = append(cmd.Environ(), "GOFLAGS=-buildvcs=false", "GOWORK=off", "GOBIN="+into, cgo)
	return watched(cmd, report)
}

// watched runs the command, reports how many packages it names, and puts the end of its output into the error.
func watched(cmd *exec.Cmd, report func(string)) error {
	output, feed := io.Pipe()
	cmd.Stdout, cmd.Stderr = feed, feed
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() {
		err := cmd.Wait()
		ended <- errors.Join(err, feed.Close())
	}()
	const kept = 20
	var last []string
	compiled := 0
	for lines := bufio.NewScanner(output); lines.Scan(); {
		line := lines.Text()
		if strings.HasPrefix(line, "go: downloading ") {
			report(strings.TrimPrefix(line, "go: "))
			continue
		}
		compiled++
		report(fmt.Sprintf("%d packages, now %s", compiled, line))
		last = append(last, line)
		last = last[max(0, len(last)-kept):]
	}
	if err := <-ended; err != nil {
		return fmt.Errorf("%w\n%s", err, strings.Join(last, "\n"))
	}
	return nil
}

// fingerprint tells apart the states of a recipe's source: its own files and the versions of its dependencies.
func fingerprint(recipe Recipe) (string, error) {
	files := []string{filepath.Join(recipe.Dir, "go.mod"), filepath.Join(recipe.Dir, "go.sum")}
	for _, path := range append(recipe.Sources, recipe.Packages...) {
		sources, err := filepath.Glob(filepath.Join(recipe.Dir, path, "*.go"))
		if err != nil {
			return "", err
		}
		files = append(files, slices.DeleteFunc(sources, func(file string) bool { return strings.HasSuffix(file, "_test.go") })...)
	}
	sum := sha256.New()
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(sum, "%s %d\n%s", filepath.Base(file), len(text), text)
	}
	return hex.EncodeToString(sum.Sum(nil))[:8], nil
}
