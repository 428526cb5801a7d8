// Package tools compiles a cluster's programs and caches them by version, so that each is compiled once on a machine.
// Start at [Cache.Build].
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

// Recipe describes how one or more programs of a module are built.
type Recipe struct {
	// Name and Version name the folder in the cache.
	Name    string
	Version string
	// Packages are the import paths of the programs, from the module proxy at that version, or below Dir.
	Packages []string
	// Dir is the folder of the module; "" means that the packages come from the module proxy.
	Dir string
	// Sources are more folders below Dir. A change in them makes a new version.
	Sources []string
	// Aliases are further names of the only program.
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

// NewCache returns a cache in the folder root, which logs the programs that it compiles.
func NewCache(root string, log *stage.Log) *Cache {
	return &Cache{root: root, log: log}
}

// Build returns the folder with the recipe's programs, and compiles them first if the cache does not have them. If that
// is interrupted, the cache does not have them.
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

// in reports whether all programs are in the folder.
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
		// If the path ends in a major version, Go names the program after the element before it.
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
	// Left by an interrupted build. There is never more than one build at a time.
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
	// Incomplete, because otherwise Build would not build.
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
		// Outside any module, because a go.mod must not choose the program's dependencies.
		cmd.Dir = "/"
	}
	cgo := "CGO_ENABLED=0"
	if r.CGO {
		cgo = "CGO_ENABLED=1"
	}
	cmd.Env = append(cmd.Environ(), "GOFLAGS=-buildvcs=false", "GOWORK=off", "GOBIN="+into, cgo)
	return watched(cmd, report)
}

// watched runs the command, reports how many packages it has printed, and adds the end of its output to the error.
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

// fingerprint returns a checksum of a recipe's source files and of the versions of its dependencies.
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
