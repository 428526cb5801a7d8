package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// kubectl is the path of the program. It finds the kubeconfig itself: KUBECONFIG, or the user's.
type kubectl string

// findKubectl finds kubectl in PATH, or else the one that `make cluster-up` built.
func findKubectl() (kubectl, error) {
	if path, err := exec.LookPath("kubectl"); err == nil {
		return kubectl(path), nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	built, err := filepath.Glob(filepath.Join(cache, "davit", "tools", "kubernetes@*", "kubectl"))
	if err != nil || len(built) == 0 {
		return "", errors.New("kubectl is not in PATH: install it; `make cluster-up` builds one, too")
	}
	return kubectl(built[len(built)-1]), nil
}

// run returns the output of kubectl; an error contains what it wrote to stderr.
func (k kubectl) run(ctx context.Context, args ...string) ([]byte, error) {
	return execute(ctx, string(k), args...)
}

// get decodes the JSON of kubectl get.
func (k kubectl) get(ctx context.Context, into any, args ...string) error {
	text, err := k.run(ctx, append([]string{"get", "--output=json"}, args...)...)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

func execute(ctx context.Context, program string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s %s: %w: %s", filepath.Base(program), strings.Join(args, " "), err, strings.TrimSpace(complaint.String()))
	}
	return out.Bytes(), nil
}
