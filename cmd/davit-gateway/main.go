// Command davit-gateway is Davit's server: console and API, triggers, the hub where runners park, and the signed
// downloads.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	_ "golang.org/x/crypto/x509roots/fallback" // roots for TLS, in images that have none

	"davit/gateway"
	"davit/internal/program"
)

func main() {
	program.SetGC()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := gateway.Main(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
