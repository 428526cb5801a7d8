// Package runner is the program davit-runner, which runs the commands of the invocations of one revision. A launcher
// starts the program with a [task.Launch]. The program connects to the gateways, parks its slots there and runs the
// calls that arrive.
//
// Package work runs the commands and package park keeps the connections. Start at [Main]; launch.go reads the launch,
// adapters.go adapts work to park.
package runner

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"

	"davit/internal/faas"
	"davit/internal/task"
	"davit/internal/version"
	"davit/runner/command"
	"davit/runner/confine"
	"davit/runner/park"
	"davit/runner/work"
)

// Exit codes. A runner that has finished its work, or that ctx ended, exits with 0.
const (
	exitFailed      = 1 // it could not start, or lost its gateways
	exitUsage       = 2 // the launch cannot be read
	exitStartFailed = 3 // the function's start process failed
)

// Main runs davit-runner with the environment env, in the form of [os.Environ], and returns the exit code. It returns
// when the runner has no more work, or when ctx has ended and the running calls have ended or exceeded their grace. It
// writes an error to stderr. It confines the process that it runs in.
func Main(ctx context.Context, args, env []string, stdin io.Reader, stdout, stderr io.Writer) int {
	err := run(ctx, args, env, stdin, stdout, stderr)
	if err == nil {
		return 0
	}
	_, _ = fmt.Fprintln(stderr, "davit-runner:", err)
	switch {
	case errors.Is(err, errUsage):
		return exitUsage
	case errors.Is(err, park.ErrStart):
		return exitStartFailed
	}
	return exitFailed
}

var errUsage = errors.New("the launch cannot be read")

func run(ctx context.Context, args, env []string, stdin io.Reader, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("davit-runner", flag.ContinueOnError)
	flags.SetOutput(stderr)
	from := flags.String("launch", "", `"-": read the launch from standard input; else it is in DAVIT_LAUNCH, its id in DAVIT_RUNNER, its token in DAVIT_TOKEN`)
	flags.String("name", "", "the id of the runner, which only ps shows")
	printVersion := flags.Bool("version", false, "print the version and exit")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	if *printVersion {
		_, err := fmt.Fprintln(stdout, version.String())
		return err
	}
	if err := command.Harden(); err != nil {
		return err
	}
	launch, err := readLaunch(*from, stdin, env)
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	return serve(ctx, launch, variable(env, "PATH"), slog.New(slog.NewTextHandler(stderr, nil)).With("runner", launch.Runner))
}

// serve confines this process and serves calls until the runner has no more work. path is the PATH in which programs
// are looked up.
func serve(ctx context.Context, launch *task.Launch, path string, log *slog.Logger) (err error) {
	sandbox, err := confine.Apply(launch)
	if err != nil {
		return err
	}
	hello := task.Hello{
		Runner: launch.Runner, Function: launch.Function, Revision: launch.Revision, Start: launch.Start,
		Invocation: launch.Invocation, Slots: launch.Slots, Version: version.String(), Sandbox: sandbox,
	}
	multipart := park.NewMultipartClient(hello.Ref(), launch.Token)
	w, err := work.New(*launch, work.Options{Log: log, Path: path, Parts: multipart})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	if launch.Start == faas.StartStandby {
		warmUp(w, log)
	}
	return park.Run(ctx, worker{w}, park.Options{
		Hello: hello, Multipart: multipart,
		Token: launch.Token, Gateways: launch.Gateways, Log: log,
	})
}

// warmUp runs a command as a call does, so that code and memory are loaded before the only call of a standby runner.
// The command is this program, because every image has it. If the confinement forbids to run it, the warm-up ends at
// the command's start.
func warmUp(w *work.Worker, log *slog.Logger) {
	self, err := os.Executable()
	if err == nil {
		err = w.WarmUp(self, "-version")
	}
	if err != nil {
		log.Warn("warming up failed; the first call will take a little longer", "error", err)
	}
}
