// Package gateway puts Davit's server together: build.go makes its parts in order and starts them, config.go has every
// setting, life.go stops the parts in the reverse order of their start. The parts have packages of their own below this
// one.
package gateway

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"

	"davit/internal/program"
	"davit/internal/version"
)

// Main is the program davit-gateway: it serves until ctx ends, and returns its exit code when everything that it
// started has ended. On stdout it says where it listens, once it serves. env has the settings, as NAME=value.
func Main(ctx context.Context, args, env []string, stdout, stderr io.Writer) int {
	if err := run(ctx, args, env, stdout, stderr); err != nil {
		_, _ = fmt.Fprintln(stderr, "davit-gateway:", err)
		return 1
	}
	return 0
}

func run(ctx context.Context, args, env []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("davit-gateway", flag.ContinueOnError)
	flags.SetOutput(stderr)
	printVersion := flags.Bool("version", false, "print the version and exit")
	describe := flags.Bool("settings", false, "print the table of settings and exit")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	switch {
	case *printVersion:
		_, err := fmt.Fprintln(stdout, version.String())
		return err
	case *describe:
		_, err := io.WriteString(stdout, settingsTable)
		return err
	}
	cfg, err := loadConfig(env)
	if err != nil {
		return err
	}
	log := newLog(cfg, stderr)
	log.Info("starting", append([]any{"version", version.String()}, cfg.redacted()...)...)
	life := newLife(log)
	g, err := build(ctx, cfg, log, life)
	if err == nil {
		if err := program.TrimText(); err != nil {
			log.Debug("giving back the pages of the start failed", "error", err)
		}
		err = g.announce(cfg, stdout)
	}
	if err == nil {
		err = life.wait(ctx)
		log.Info("stopping")
	}
	return errors.Join(err, life.stop())
}

func newLog(cfg *Config, w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(cfg.LogLevel)) // checked by loadConfig
	o := &slog.HandlerOptions{Level: level}
	if cfg.LogJSON {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// announce writes where the gateway listens, machine-readable, and a one-time URL to sign in. Whoever set the token
// signs in with it; then no URL is written, because the output may be kept as a log.
func (g *gateway) announce(cfg *Config, w io.Writer) error {
	text := fmt.Sprintf("DAVIT_CONSOLE=%s\nDAVIT_CALLS=%s\nDAVIT_TOKEN_FILE=%s\n", g.net.console.Addr(), g.net.calls.Addr(), g.token.file)
	if cfg.Token == "" {
		code, err := g.console.NewSignInCode()
		if err != nil {
			return fmt.Errorf("make a code to sign in with: %w", err)
		}
		text += fmt.Sprintf("Sign in once: http://%s/sign-in?code=%s\n", g.net.console.Addr(), code)
	}
	_, err := io.WriteString(w, text)
	return err
}
