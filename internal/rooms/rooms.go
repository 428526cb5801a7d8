// Package rooms measures how a Go package can be read: how many references go from file to file, how many of these lie
// on a cycle, and how many methods the largest type has. A package without a cycle can be read file by file, in one
// direction.
//
// It does not judge: its test holds the packages of this module to limits, and hack/rooms prints the figures.
//
// Start with [Load]. Fields, methods, types, functions, variables and constants count. Test files do not.
package rooms

import (
	"cmp"
	"errors"
	"fmt"
	"go/token"
	"go/types"
	"path/filepath"
	"slices"

	"golang.org/x/tools/go/packages"
)

// Figures are those of one package.
type Figures struct {
	Package    string
	Files      int
	References int    // pairs of files of which one uses what the other declares
	Cyclic     int    // references on a cycle
	Type       string // the type with the most methods; "" when no type has one
	Methods    int    // of Type
	Cycles     []Cycle
}

// Cycle is a largest group of files each of which uses each other, directly or through others.
type Cycle struct {
	Files      []string // sorted
	References []Reference
}

// Reference says that file From uses Names, which file To declares.
type Reference struct {
	From, To string
	Names    []string // sorted
}

// Load measures the packages that patterns name, as seen from dir, in the order of their paths.
func Load(dir string, patterns ...string) ([]Figures, error) {
	loaded, err := packages.Load(&packages.Config{Mode: packages.LoadSyntax, Dir: dir}, patterns...)
	if err != nil {
		return nil, fmt.Errorf("load packages: %w", err)
	}
	var all []Figures
	var faults []error
	for _, p := range loaded {
		for _, fault := range p.Errors {
			faults = append(faults, fault)
		}
		all = append(all, measure(p))
	}
	slices.SortFunc(all, func(a, b Figures) int { return cmp.Compare(a.Package, b.Package) })
	return all, errors.Join(faults...)
}

func measure(p *packages.Package) Figures {
	uses := usesOf(p)
	f := Figures{Package: p.PkgPath, Files: len(uses)}
	for _, used := range uses {
		f.References += len(used)
	}
	for _, group := range uses.groups() {
		cycle := Cycle{Files: group, References: uses.inside(group)}
		f.Cyclic += len(cycle.References)
		f.Cycles = append(f.Cycles, cycle)
	}
	f.Type, f.Methods = largest(p.Types.Scope())
	return f
}

// usesOf finds what each file of p uses of the other files of p.
func usesOf(p *packages.Package) uses {
	file := func(pos token.Pos) string { return filepath.Base(p.Fset.Position(pos).Filename) }
	found := uses{}
	for _, f := range p.Syntax {
		found[file(f.Pos())] = map[string]names{}
	}
	for identifier, object := range p.TypesInfo.Uses {
		if object.Pkg() != p.Types || isLocal(object) {
			continue
		}
		from, to := file(identifier.Pos()), file(object.Pos())
		if _, known := found[to]; known && from != to {
			found.add(from, to, object.Name())
		}
	}
	return found
}

// isLocal reports whether object is declared inside a function: it cannot be used from another file.
func isLocal(object types.Object) bool {
	switch o := object.(type) {
	case *types.Func:
		return false
	case *types.Var:
		return !o.IsField() && o.Parent() != o.Pkg().Scope()
	default:
		return object.Parent() != object.Pkg().Scope()
	}
}

// largest returns the type of scope with the most methods, and their number.
func largest(scope *types.Scope) (string, int) {
	largest, methods := "", 0
	for _, name := range scope.Names() {
		declared, ok := scope.Lookup(name).(*types.TypeName)
		if !ok {
			continue
		}
		if named, ok := declared.Type().(*types.Named); ok && named.NumMethods() > methods {
			largest, methods = name, named.NumMethods()
		}
	}
	return largest, methods
}
