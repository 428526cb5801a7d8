// Package debian installs the Debian packages that a cluster needs, without starting their services. Start at
// [Install].
package debian

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"davit/e2e/cluster/stage"
)

// Install installs the missing packages. If none is missing, it needs no network.
func Install(ctx context.Context, log *stage.Log, packages ...string) error {
	missing := missing(ctx, packages)
	if len(missing) == 0 {
		return nil
	}
	names := strings.Join(missing, " ")
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("needs %s, and this is not a Debian: install them with your package manager, then run this again", names)
	}
	return log.Run("install "+names, func(report func(string)) error {
		allow, err := forbidServices()
		if err != nil {
			return err
		}
		defer allow()
		if err := aptGet(ctx, report, "update"); err != nil {
			return err
		}
		return aptGet(ctx, report, append([]string{"install", "--yes", "--no-install-recommends"}, missing...)...)
	})
}

func missing(ctx context.Context, packages []string) []string {
	var missing []string
	for _, name := range packages {
		status, err := exec.CommandContext(ctx, "dpkg-query", "--show", "--showformat=${db:Status-Status}", name).Output()
		if err != nil || string(status) != "installed" {
			missing = append(missing, name)
		}
	}
	return missing
}

// forbidServices keeps packages from starting services at their installation, until allow is called.
func forbidServices() (allow func(), err error) {
	const policy = "/usr/sbin/policy-rc.d"
	file, err := os.OpenFile(policy, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755) //nolint:gosec // a program of the system
	if errors.Is(err, os.ErrExist) {
		return func() {}, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	_, err = io.WriteString(file, "#!/bin/sh\nexit 101\n")
	return func() { _ = os.Remove(policy) }, err
}

func aptGet(ctx context.Context, report func(string), args ...string) error {
	args = append([]string{"-o", "DPkg::Lock::Timeout=600", "-q"}, args...)
	cmd := exec.CommandContext(ctx, "apt-get", args...)
	cmd.Env = append(cmd.Environ(), "DEBIAN_FRONTEND=noninteractive")
	var problems strings.Builder
	cmd.Stderr = &problems
	output, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	for lines := bufio.NewScanner(output); lines.Scan(); {
		report(lines.Text())
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("apt-get %s: %w\n%s", strings.Join(args, " "), err, problems.String())
	}
	return nil
}
