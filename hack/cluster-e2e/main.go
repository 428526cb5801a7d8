// Command davit-cluster-e2e runs all tests that need a Kubernetes: it starts a cluster on this machine, deploys Davit
// there, runs the tests, and removes the cluster again, also after a failure or an interrupt. A cluster that was up
// before stays up. With DAVIT_E2E_KUBECONFIG, the tests run on the cluster of that file, which is neither started nor
// removed; OVERLAY and REGISTRY then say how to deploy.
//
// `make cluster-e2e` runs it, and `make soak-cluster` with -soak. Start at run; stages.go runs programs and measures
// how long they take.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	soak := flag.Duration("soak", 0, "run the soak test only, with a load of this length")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	s := &stages{out: os.Stderr, env: os.Environ(), now: time.Now}
	err := run(ctx, s, settings{
		kubeconfig: os.Getenv("DAVIT_E2E_KUBECONFIG"), overlay: os.Getenv("OVERLAY"), registry: os.Getenv("REGISTRY"), soak: *soak,
	})
	stop()
	s.summary()
	if err != nil {
		fmt.Fprintln(os.Stderr, "cluster-e2e:", err)
		os.Exit(1)
	}
}

// settings say which tests run, and on which cluster.
type settings struct {
	kubeconfig, overlay, registry string
	soak                          time.Duration // of the soak test, which runs alone; 0: all tests
	foreign                       bool          // the cluster is not the one of this machine
}

// suite is a group of tests, given by the arguments of go test.
type suite struct{ name, args string }

func (at *settings) suites() []suite {
	if at.soak > 0 {
		return []suite{{"soak", "-v -timeout 0 -run ^TestKubeSoak$ ./e2e -soak " + at.soak.String()}}
	}
	whole := "-timeout 20m -parallel 6 -run ^TestKube ./e2e"
	if at.foreign { // the steps that TestKubeDocs types lead to the cluster of this machine
		whole = "-skip ^TestKubeDocs$ " + whole
	}
	return []suite{
		{"launcher and builder", "-timeout 20m -race -p 3 ./gateway/kube ./gateway/docker ./e2e/images"},
		{"whole system", whole},
	}
}

// isUp is printed by `davit-cluster up` if the cluster is up.
const isUp = "cluster: is up already"

const programs = "e2e/cluster" // the folder of the cluster's own module

func run(ctx context.Context, s *stages, at settings) (err error) {
	if at.kubeconfig != "" {
		at.foreign = true
		s.say("TestKubeDocs does not run: the steps in the documents are those to the cluster of this machine")
		return s.tests(ctx, at)
	}
	if err := s.run(ctx, "third-party programs and images", command{dir: programs, args: cluster("build")}); err != nil {
		return err
	}
	var output bytes.Buffer
	defer func() {
		if strings.Contains(output.String(), isUp) {
			s.say("the cluster was up before, and stays up: make cluster-down")
			return
		}
		// Also after an interrupt, because nothing else removes the cluster.
		if down := s.run(context.WithoutCancel(ctx), "cluster down", command{dir: programs, args: cluster("down")}); err == nil {
			err = down
		}
	}()
	up := command{dir: programs, args: cluster("up"), stderr: &output}
	if at.kubeconfig, err = s.read(ctx, "cluster up", "KUBECONFIG=", up); err != nil {
		return err
	}
	at.overlay = "test"
	return s.tests(ctx, at)
}

func cluster(what string) []string { return []string{"go", "run", "./cmd/davit-cluster", what} }

// tests deploys Davit and runs all suites, also after one has failed.
func (s *stages) tests(ctx context.Context, at settings) error {
	s.env = append(s.env, "KUBECONFIG="+at.kubeconfig)
	var where bytes.Buffer
	deploy := command{args: []string{"make", "--no-print-directory", "deploy", "OVERLAY=" + at.overlay, "REGISTRY=" + at.registry}, stdout: &where}
	if err := s.run(ctx, "deploy", deploy); err != nil {
		return err
	}
	s.env = append(s.env, strings.Fields(where.String())...)
	s.say("%s", strings.Join(strings.Fields(where.String()), " "))
	var failed error
	for _, t := range at.suites() {
		args := append([]string{"go", "test", "-tags", "all,cluster", "-count=1"}, strings.Fields(t.args)...)
		if err := s.run(ctx, t.name, command{args: args}); err != nil {
			failed = err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return failed
}

// read runs a stage and returns the rest of the line of its output that starts with beginning.
func (s *stages) read(ctx context.Context, name, beginning string, c command) (string, error) {
	var out bytes.Buffer
	c.stdout = &out
	if err := s.run(ctx, name, c); err != nil {
		return "", err
	}
	for line := range strings.Lines(out.String()) {
		if value, is := strings.CutPrefix(line, beginning); is {
			return strings.TrimSpace(value), nil
		}
	}
	return "", fmt.Errorf("%s: it prints no %s: %w", name, beginning, io.ErrUnexpectedEOF)
}
