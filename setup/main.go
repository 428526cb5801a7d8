// Package setup makes what an installation needs before its gateway can start: random secrets (secrets), and a bucket
// with keys of least privilege (store). The manifests run it as Jobs, with the program davit-setup. Running it again
// changes nothing that exists.
//
// It is not part of the running system and knows only names of it.
//
// Start at [Main]; secrets.go says which secrets there are, store.go what the keys of the store may do.
package setup

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	_ "golang.org/x/crypto/x509roots/fallback" // roots for TLS, in images that have none

	"davit/internal/version"
)

// atMost is how long a command waits for the services it needs.
const atMost = 4 * time.Minute

// Main runs one command of davit-setup with the environment env, in the form of [os.Environ], and returns the exit
// code: 0, or 1 after an error, which it writes to stderr.
func Main(ctx context.Context, args, env []string, stdout, stderr io.Writer) int {
	if err := run(ctx, args, lookup(env), stdout, stderr); err != nil {
		_, _ = fmt.Fprintln(stderr, "davit-setup:", err)
		return 1
	}
	return 0
}

// lookup returns a function that returns the value of a variable in env, or "".
func lookup(env []string) func(name string) string {
	return func(name string) string {
		for _, variable := range slices.Backward(env) {
			if value, is := strings.CutPrefix(variable, name+"="); is {
				return value
			}
		}
		return ""
	}
}

const usage = "usage: davit-setup secrets|store|await|policies [flags], or davit-setup --version; -h after a command lists its flags"

func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		return errors.New(usage)
	}
	ctx, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	log := slog.New(slog.NewTextHandler(stderr, nil))
	flags := flag.NewFlagSet("davit-setup "+args[0], flag.ContinueOnError)
	flags.SetOutput(stderr)
	var err error
	switch args[0] {
	case "secrets":
		err = runSecrets(ctx, flags, args[1:], getenv, log)
	case "store":
		err = runStore(ctx, flags, args[1:], log)
	case "await":
		err = runAwait(ctx, flags, args[1:], log)
	case "policies":
		err = runPolicies(flags, args[1:], stdout)
	case "-version", "--version":
		_, err = fmt.Fprintln(stdout, version.String())
	default:
		return fmt.Errorf("%q is not a command; %s", args[0], usage)
	}
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	return err
}

func runSecrets(ctx context.Context, flags *flag.FlagSet, args []string, getenv func(string) string, log *slog.Logger) error {
	namespace := flags.String("namespace", "davit", "where the gateway, Redis and the store are")
	builder := flags.String("builder-namespace", "davit-builder", "where the Docker daemon is")
	groups := flags.String("groups", strings.Join(allGroups(), ","), "what to make secrets for; leave out those that you make yourself")
	if err := parse(flags, args); err != nil {
		return err
	}
	wanted, err := parseGroups(*groups)
	if err != nil {
		return err
	}
	api, err := inCluster(getenv, "/var/run/secrets/kubernetes.io/serviceaccount")
	if err != nil {
		return err
	}
	m := maker{api: api, log: log, now: time.Now, namespace: *namespace, builder: *builder}
	return m.run(ctx, wanted)
}

func runStore(ctx context.Context, flags *flag.FlagSet, args []string, log *slog.Logger) error {
	endpoint := flags.String("endpoint", "http://davit-store:9000", "URL of the MinIO")
	region := flags.String("region", "us-east-1", "its region")
	bucket := flags.String("bucket", "davit", "the bucket to make")
	root := flags.String("root", "/etc/davit/store-root", "folder with access-key and secret-key of its administrator")
	gateway := flags.String("gateway", "/etc/davit/store", "the same of the gateway's key, which is made")
	download := flags.String("download", "/etc/davit/store-download", "the same of the key that signs downloads, which is made")
	if err := parse(flags, args); err != nil {
		return err
	}
	s := store{endpoint: strings.TrimSuffix(*endpoint, "/"), region: *region, bucket: *bucket, log: log}
	for _, k := range []struct {
		into *key
		dir  string
	}{{&s.root, *root}, {&s.gateway, *gateway}, {&s.download, *download}} {
		var err error
		if *k.into, err = readKey(k.dir); err != nil {
			return err
		}
	}
	return s.setUp(ctx)
}

// runPolicies prints the policies of the two keys, for stores other than MinIO.
func runPolicies(flags *flag.FlagSet, args []string, stdout io.Writer) error {
	bucket := flags.String("bucket", "davit", "the bucket")
	if err := parse(flags, args); err != nil {
		return err
	}
	for _, p := range policies(*bucket) {
		if _, err := fmt.Fprintf(stdout, "# %s\n%s\n", p.what, p.text); err != nil {
			return err
		}
	}
	return nil
}
