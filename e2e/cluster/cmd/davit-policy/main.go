// Command davit-policy enforces the network policies of a cluster on this node: see package davit/e2e/cluster/policy.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/knftables"

	"davit/e2e/cluster/policy"
)

func main() {
	kubeconfig := flag.String("kubeconfig", "", "the access to the cluster")
	socket := flag.String("socket", "", "where to listen for new pods")
	table := flag.String("table", "", "the packet filter's table to use")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *kubeconfig, *socket, *table)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "davit-policy:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, kubeconfig, socket, table string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return fmt.Errorf("read the access to the cluster: %w", err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("read the access to the cluster: %w", err)
	}
	filter, err := knftables.New(knftables.IPv4Family, table)
	if err != nil {
		return fmt.Errorf("use the packet filter: %w", err)
	}
	enforcer := policy.NewEnforcer(client, filter, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("listen for new pods: %w", err)
	}
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "unix", socket)
	if err != nil {
		return fmt.Errorf("listen for new pods: %w", err)
	}
	const patience = 5 * time.Second
	server := &http.Server{Handler: policy.Hook(enforcer), ReadHeaderTimeout: patience}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) }) // ends with the server
	defer serving.Wait()
	defer server.Close()
	return enforcer.Run(ctx)
}
