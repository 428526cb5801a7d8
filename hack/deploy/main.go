// Command davit-deploy deploys Davit to the cluster of the current kubeconfig: it loads the gateway's image into the
// cluster, applies an overlay of the manifests, waits until all of it is ready, and prints the addresses. If something
// does not become ready, it prints what Kubernetes reports about it.
//
// `make deploy` runs it. Start at steps in deploy.go; pack.go makes an image of the files that hack/images wrote to
// dist, carry.go brings it to the cluster, state.go decides what is ready.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "deploy:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("davit-deploy", flag.ContinueOnError)
	flags.SetOutput(stderr)
	d := deployment{out: stderr}
	flags.StringVar(&d.overlay, "overlay", "dev", "folder below manifests/overlays")
	flags.StringVar(&d.registry, "registry", "", "host[:port][/path] to push it to; default: straight into a kind, k3d, minikube or test cluster")
	flags.StringVar(&d.root, "root", ".", "folder of the repository")
	flags.DurationVar(&d.patience, "wait", 10*time.Minute, "how long it may take until all is ready")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var err error
	if d.root, err = filepath.Abs(d.root); err != nil {
		return err
	}
	if d.kubectl, err = findKubectl(); err != nil {
		return err
	}
	where, err := d.steps(ctx)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "DAVIT_CONSOLE=%s\nDAVIT_CALLS=%s\nDAVIT_TOKEN_FILE=%s\n", where.console, where.calls, where.tokenFile)
	return err
}
