// Command davit-bench-cluster compares calls through a Davit on Kubernetes with floors, measured alternately in the
// same run: the same work in bare Jobs of the same pods, or in a server in a pod that forks. It prints a table of
// ratios. With -json it appends each row to a file, as one JSON object a line.
//
// It finds Davit by the kubeconfig. It makes functions whose names begin with "davit-bench-" and a namespace, and
// removes them when it ends, also after an interrupt. Start at run in run.go.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"davit/e2e/bench/figure"
)

func main() {
	o := options{}
	flag.StringVar(&o.bin, "bin", "bin", "folder of the programs")
	flag.StringVar(&o.kubeconfig, "kubeconfig", firstOf(os.Getenv("DAVIT_E2E_KUBECONFIG"), os.Getenv("KUBECONFIG")), "access to the cluster")
	flag.StringVar(&o.namespace, "namespace", "davit", "of the gateways")
	flag.StringVar(&o.functions, "functions", "davit-functions", "namespace of the functions' pods")
	flag.StringVar(&o.host, "host", "", "address of this machine that pods reach; default: the address from which this machine reaches the node")
	flag.StringVar(&o.audit, "audit", "/var/lib/davit-cluster/log/audit.log", "audit log of the API server, with writes at level Metadata; without the file they are not counted")
	flag.DurationVar(&o.each, "time", 6*time.Second, "for each figure and each floor, about")
	flag.Func("only", "the parts to measure, by commas: "+strings.Join(partNames(), ", ")+"; default: all", func(text string) error { return o.choose(text, partNames()) })
	flag.Func("peer", "NAME=URL of another HTTP server to measure under the same load; may be repeated", o.addPeer)
	flag.BoolVar(&o.verbose, "v", false, "print how long each turn took")
	jsonFile := flag.String("json", "", "append the figures to this file")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second interrupt ends this program at once
	rows, err := run(ctx, &o)
	err = errors.Join(err, figure.Show(os.Stdout, rows), figure.Append(*jsonFile, rows))
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-cluster:", err)
		os.Exit(1)
	}
}
