// Command standin replaces the runner in the tests of package kube: it ends as the name of
// the function says.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	var launch struct{ Function string }
	if err := json.Unmarshal([]byte(os.Getenv("DAVIT_LAUNCH")), &launch); err != nil || os.Getenv("DAVIT_TOKEN") == "" || os.Getenv("DAVIT_RUNNER") == "" {
		fmt.Fprintln(os.Stderr, "davit-runner: no launch, token or id", err)
		os.Exit(9)
	}
	switch launch.Function {
	case "lost":
		fmt.Fprintln(os.Stderr, "davit-runner: no gateway can be reached")
		os.Exit(1)
	case "start-failed":
		fmt.Fprintln(os.Stderr, "davit-runner: it ended with exit code 4")
		os.Exit(3)
	case "memory":
		var all [][]byte
		for {
			b := make([]byte, 1<<20)
			for i := range b {
				b[i] = byte(i)
			}
			all = append(all, b)
		}
	case "runs":
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		<-ctx.Done()
	}
}
