// Command davit-gateway is Davit's server: console and API, triggers, the hub
// where runners park, and the signed downloads. run.go builds its parts and
// runs them; config.go holds every setting.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	_ "golang.org/x/crypto/x509roots/fallback" // roots for TLS, in images that have none
)

// gcPercent makes the garbage collector run a quarter as often as by default: what
// lives is small here, and most garbage is a call's. GOGC in the environment wins.
const gcPercent = 400

func main() {
	if was := debug.SetGCPercent(gcPercent); was != 100 {
		debug.SetGCPercent(was)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "davit-gateway:", err)
		os.Exit(1)
	}
}
