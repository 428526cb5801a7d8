// Command davit-runner runs the commands of the invocations of one revision. A launcher of the gateway starts it: see
// package runner.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"davit/internal/program"
	"davit/internal/task"
	"davit/runner"
)

func main() {
	program.SetGC()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// Writing a log line must not end this program when its launcher, which reads the log, has ended. SIGPIPE is not
	// ignored, because commands would inherit that.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	env := os.Environ()
	for _, name := range []string{task.EnvLaunch, task.EnvRunner, task.EnvToken} {
		_ = os.Unsetenv(name) // fails only for names that are not valid
	}
	code := runner.Main(ctx, os.Args[1:], env, os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
