package main

import (
	"fmt"
	"io"
	"time"
)

// namespace is the namespace of the gateway.
const namespace = "davit"

// namespaces returns the namespaces of the workloads that must be ready.
func namespaces() []string { return []string{namespace, "davit-builder"} }

// deployment is one run of this program.
type deployment struct {
	overlay, registry, root string
	patience                time.Duration
	kubectl                 kubectl
	cluster                 string // the name of the current context
	out                     io.Writer
}

func (d *deployment) logf(format string, args ...any) {
	_, _ = fmt.Fprintf(d.out, "deploy: "+format+"\n", args...)
}
