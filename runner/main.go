// Command davit-runner runs the commands of one revision's invocations. A
// launcher starts it with a task.Launch; it dials in to the gateways, parks its
// slots there and does what comes. Package work runs commands, package park
// holds the connections; this file puts them together.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"davit/internal/faas"
	"davit/internal/task"
	"davit/internal/version"
	"davit/runner/command"
	"davit/runner/confine"
	"davit/runner/park"
	"davit/runner/work"
)

// Exit codes. A runner that has done what it was for, or was told to end, exits with 0.
const (
	exitFailed      = 1 // it could not start, or lost its gateways
	exitUsage       = 2 // the launch cannot be read
	exitStartFailed = 3 // the function's start process failed
)

// maxLaunch is the most bytes that a launch may have.
const maxLaunch = 4 << 20

// gcPercent makes the garbage collector run a quarter as often as by default: what
// lives is small here, and most garbage is a call's. GOGC in the environment wins.
const gcPercent = 400

func main() {
	if was := debug.SetGCPercent(gcPercent); was != 100 {
		debug.SetGCPercent(was)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A launcher that is gone no longer reads what is logged, which must not end this
	// program. Not ignored, for commands would inherit that.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "davit-runner:", err)
		os.Exit(exitCode(err))
	}
}

func exitCode(err error) int {
	switch {
	case errors.Is(err, errUsage):
		return exitUsage
	case errors.Is(err, park.ErrStart):
		return exitStartFailed
	}
	return exitFailed
}

var errUsage = errors.New("the launch cannot be read")

// run is the whole program; it returns when the runner has nothing more to do, or
// when ctx ended and what ran has ended too, or had its time.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("davit-runner", flag.ContinueOnError)
	flags.SetOutput(stderr)
	from := flags.String("launch", "", `"-": read the launch from standard input; else it is in DAVIT_LAUNCH, its id in DAVIT_RUNNER, its token in DAVIT_TOKEN`)
	tell := flags.Bool("version", false, "print the version and exit")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	if *tell {
		_, err := fmt.Fprintln(stdout, version.String())
		return err
	}
	if err := command.Harden(); err != nil {
		return err
	}
	launch, err := readLaunch(*from, stdin)
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	return serve(ctx, launch, slog.New(slog.NewTextHandler(stderr, nil)).With("runner", launch.Runner))
}

// readLaunch reads the launch and leaves nothing of it in the environment.
func readLaunch(from string, stdin io.Reader) (*task.Launch, error) {
	var launch task.Launch
	if from != "-" {
		if err := readVariables(&launch); err != nil {
			return nil, err
		}
	} else if err := json.NewDecoder(io.LimitReader(stdin, maxLaunch)).Decode(&launch); err != nil {
		return nil, fmt.Errorf("standard input: %w", err)
	}
	launch.Env = environment(os.Environ(), launch.Env)
	switch {
	case launch.Runner == "" || launch.Function == "" || launch.Revision == 0:
		return nil, errors.New("runner, function or revision is missing")
	case launch.Dir == "":
		return nil, errors.New("dir is missing")
	case len(launch.Gateways) == 0:
		return nil, errors.New("gateways are missing")
	}
	launch.Slots = max(launch.Slots, 1)
	if launch.SourceDir == task.WorkingDir {
		dir, err := os.Getwd()
		if err != nil {
			return nil, fmt.Errorf("find the source: %w", err)
		}
		launch.SourceDir = strings.TrimSuffix(dir, "/")
	}
	return &launch, nil
}

// readVariables reads the launch of a pod.
func readVariables(launch *task.Launch) error {
	values := map[string]string{}
	for _, name := range []string{task.EnvLaunch, task.EnvRunner, task.EnvToken} {
		values[name] = os.Getenv(name)
		if err := os.Unsetenv(name); err != nil {
			return err
		}
	}
	if err := json.Unmarshal([]byte(values[task.EnvLaunch]), launch); err != nil {
		return fmt.Errorf("%s: %w", task.EnvLaunch, err)
	}
	if runner := values[task.EnvRunner]; runner != "" {
		launch.Runner = faas.RunnerID(runner)
	}
	if token := values[task.EnvToken]; token != "" {
		launch.Token = token
	}
	return nil
}

// environment is what commands get of this program's own, which is its image's, with
// the function's over it: nothing that is Davit's, the cluster's or a folder of each call.
func environment(own []string, function map[string]string) map[string]string {
	env := make(map[string]string, len(own)+len(function))
	for _, variable := range own {
		name, value, _ := strings.Cut(variable, "=")
		switch {
		case name == "", name == "HOME", name == "TMPDIR", name == "HOSTNAME":
		case strings.HasPrefix(name, "DAVIT_"), strings.HasPrefix(name, "KUBERNETES_"):
		default:
			env[name] = value
		}
	}
	maps.Copy(env, function)
	return env
}

// serve confines this process and works until there is nothing more to do.
func serve(ctx context.Context, launch *task.Launch, log *slog.Logger) (err error) {
	sandbox, err := confine.Apply(launch)
	if err != nil {
		return err
	}
	hello := task.Hello{
		Runner: launch.Runner, Function: launch.Function, Revision: launch.Revision, Start: launch.Start,
		Invocation: launch.Invocation, Slots: launch.Slots, Version: version.String(), Sandbox: sandbox,
	}
	desk := park.NewDesk(hello.Ref(), launch.Token)
	w, err := work.New(*launch, work.Options{Log: log, Path: os.Getenv("PATH"), Parts: desk})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	if launch.Start == faas.StartStandby {
		rehearse(w, log)
	}
	return park.Run(ctx, worker{w}, park.Options{
		Hello: hello, Desk: desk,
		Token: launch.Token, Gateways: launch.Gateways, Log: log,
	})
}

// rehearse has the only call of a standby find everything in place. The command is this program, which is
// there for sure. Where commands may not run it, they get as far as that.
func rehearse(w *work.Worker, log *slog.Logger) {
	self, err := os.Executable()
	if err == nil {
		err = w.Rehearse(self, "-version")
	}
	if err != nil {
		log.Warn("the first call will take a little longer", "cause", err)
	}
}
