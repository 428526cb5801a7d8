// Command davit-setup makes what an installation needs before its gateway can start: see package setup.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"davit/setup"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := setup.Main(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
