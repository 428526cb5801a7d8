// Command davit-cluster starts a one-node Kubernetes on this machine and removes it: see package davit/e2e/cluster.
//
//	davit-cluster build|up|down|import ARCHIVE|push IMAGE NAME
//
// build makes the programs and images that up needs. import loads images into the running cluster. push pushes one of
// its images to a registry without TLS. With DAVIT_E2E_KUBECONFIG, the cluster of that file is used instead, and up and
// down only print that.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"davit/e2e/cluster"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "davit-cluster:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) error {
	options := cluster.Options{Kubeconfig: getenv("DAVIT_E2E_KUBECONFIG"), Progress: stderr}
	switch {
	case len(args) == 1 && args[0] == "build":
		return cluster.Build(ctx, options)
	case len(args) == 1 && args[0] == "up":
		c, err := cluster.Up(ctx, options)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(stdout, "KUBECONFIG=%s\nKUBECTL=%s\n", c.Kubeconfig(), c.Kubectl())
		return err
	case len(args) == 1 && args[0] == "down":
		return cluster.Down(ctx, options)
	case len(args) == 2 && args[0] == "import":
		return importArchive(ctx, options, args[1])
	case len(args) == 3 && args[0] == "push":
		c, err := cluster.Running(ctx, options)
		if err != nil {
			return err
		}
		return c.Push(ctx, args[1], args[2])
	default:
		return errors.New("usage: davit-cluster build|up|down|import ARCHIVE|push IMAGE NAME")
	}
}

func importArchive(ctx context.Context, options cluster.Options, path string) error {
	archive, err := os.Open(path) //nolint:gosec // the file that the user named
	if err != nil {
		return err
	}
	defer archive.Close()
	c, err := cluster.Running(ctx, options)
	if err != nil {
		return err
	}
	return c.Import(ctx, archive)
}
