// Command davit-gateway is Davit's server: console and API, triggers, the hub
// where runners park, and the signed downloads. run.go builds its parts and
// runs them; config.go holds every setting.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "davit-gateway:", err)
		os.Exit(1)
	}
}
