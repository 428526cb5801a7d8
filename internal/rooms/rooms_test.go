package rooms_test

import (
	"reflect"
	"testing"

	"davit/internal/rooms"
)

// What a package may have.
const (
	maxCyclic  = 8  // references on a cycle
	maxMethods = 40 // methods of a type
	maxShare   = 2  // references on a cycle of all in the module, in percent
)

// The packages of this module can be read: `go run ./hack/rooms -why` prints where not.
func TestPackagesCanBeRead(t *testing.T) {
	all, err := rooms.Load("../..", "./...")
	if err != nil {
		t.Fatal(err)
	}
	references, cyclic := 0, 0
	for _, f := range all {
		references += f.References
		cyclic += f.Cyclic
		if f.Cyclic > maxCyclic {
			t.Errorf("%s: %d references between files lie on a cycle, at most %d may: %s", f.Package, f.Cyclic, maxCyclic, files(f))
		}
		if f.Methods > maxMethods {
			t.Errorf("%s: the type %s has %d methods, at most %d may be", f.Package, f.Type, f.Methods, maxMethods)
		}
	}
	t.Logf("%d packages, %d references between files, %d of them on a cycle", len(all), references, cyclic)
	if 100*cyclic > maxShare*references {
		t.Errorf("%d of %d references between files lie on a cycle: more than %d %%", cyclic, references, maxShare)
	}
}

func files(f rooms.Figures) [][]string {
	var groups [][]string
	for _, cycle := range f.Cycles {
		groups = append(groups, cycle.Files)
	}
	return groups
}

func TestLoad(t *testing.T) {
	got, err := rooms.Load("testdata/ring", ".")
	if err != nil {
		t.Fatal(err)
	}
	want := []rooms.Figures{{
		Package: "davit/internal/rooms/testdata/ring", Files: 3, References: 3, Cyclic: 2, Type: "kettle", Methods: 2,
		Cycles: []rooms.Cycle{{
			Files: []string{"kettle.go", "lid.go"},
			References: []rooms.Reference{
				{From: "kettle.go", To: "lid.go", Names: []string{"lid", "lift"}},
				{From: "lid.go", To: "kettle.go", Names: []string{"boil", "kettle"}},
			},
		}},
	}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestLoadOfWhatDoesNotCompile(t *testing.T) {
	if _, err := rooms.Load(".", "./testdata/nothing"); err == nil {
		t.Error("a package that is not there: got no error")
	}
}
