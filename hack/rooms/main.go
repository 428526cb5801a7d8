// Rooms prints how the packages of this module can be read: for each its files, the references between them, those on a
// cycle, and the type with the most methods. The test of internal/rooms sets the limits.
//
//	go run ./hack/rooms [-why] [packages]
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"

	"davit/internal/rooms"
)

func main() {
	why := flag.Bool("why", false, "name what ties the files of each cycle together")
	flag.Parse()
	patterns := flag.Args()
	if len(patterns) == 0 {
		patterns = []string{"./..."}
	}
	all, err := rooms.Load(".", patterns...)
	if err != nil {
		fmt.Fprintln(os.Stderr, "rooms:", err)
		os.Exit(1)
	}
	write(all, *why)
}

func write(all []rooms.Figures, why bool) {
	const row = "%-36s %5v %10v %10v %7v  %s\n"
	fmt.Printf(row, "package", "files", "references", "on a cycle", "methods", "of type")
	references, cyclic := 0, 0
	for _, f := range all {
		references += f.References
		cyclic += f.Cyclic
		fmt.Printf(row, f.Package, f.Files, f.References, f.Cyclic, f.Methods, f.Type)
		if !why {
			continue
		}
		for _, cycle := range f.Cycles {
			for _, r := range cycle.References {
				fmt.Printf("    %s -> %s: %s\n", r.From, r.To, strings.Join(r.Names, " "))
			}
		}
	}
	fmt.Printf(row, "all", "", references, cyclic, "", "")
}
