// Command davit-demo shows a first call: it starts the gateway with its embedded defaults, registers the word count
// example, calls it with a file, and prints the result. With -stay the gateway then runs until Ctrl-C; without, the
// exit code is 0 only if the result was right. It needs no curl, tar or unzip, and prints the commands that would do
// the same.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"davit/e2e/rig"
)

func main() {
	stay := flag.Bool("stay", false, "leave the gateway running until Ctrl-C")
	bin := flag.String("bin", "bin", "folder of the programs")
	example := flag.String("example", "examples/wordcount", "folder of the example")
	flag.Parse()
	signal.Ignore(syscall.SIGPIPE) // so that the gateway is stopped also when the output is closed
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := demo(ctx, *bin, *example, *stay, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// demo starts the gateway, calls it, and stops it.
func demo(ctx context.Context, bin, example string, stay bool, out io.Writer) error {
	g, err := rig.Start(ctx, rig.Options{Bin: bin, Env: quiet(), Log: os.Stderr})
	if err != nil {
		return err
	}
	err = first(ctx, g, example, out)
	if err == nil && stay {
		err = stayUp(ctx, g, out)
	}
	return errors.Join(err, g.Stop())
}

// quiet limits the log to warnings, unless the user has set a level.
func quiet() []string {
	if os.Getenv("DAVIT_LOG_LEVEL") != "" {
		return nil
	}
	return []string{"DAVIT_LOG_LEVEL=warn"}
}

func stayUp(ctx context.Context, g *rig.Gateway, out io.Writer) error {
	_, _ = fmt.Fprintf(out, "\nDavit is up; Ctrl-C ends it.\n\n  page      http://%s\n  triggers  http://%s\n\nDAVIT_CONSOLE=%s\nDAVIT_CALLS=%s\nDAVIT_TOKEN_FILE=%s\nSign in once: %s\n",
		g.Console, g.Calls, g.Console, g.Calls, g.TokenFile, g.SignIn)
	select {
	case <-ctx.Done():
		_, _ = fmt.Fprintln(out, "\nstopping")
		return nil
	case <-g.Exited():
		return errors.New("the gateway ended by itself")
	}
}
