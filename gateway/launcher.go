package main

import (
	"errors"
	"fmt"
	"net"
	"time"

	"davit/internal/faas"
)

// The choices of DAVIT_LAUNCHER.
const (
	launcherLocal = "local"
	launcherKube  = "kube"
)

// kubeGrace is longer than a cluster takes to tell that a node is gone.
const kubeGrace = 75 * time.Second

// checkLauncher checks what the choice of a launcher needs.
func (c *Config) checkLauncher() (faults []error) {
	switch c.Launcher {
	case launcherLocal:
		return nil
	case launcherKube:
	default:
		return []error{fmt.Errorf("DAVIT_LAUNCHER: %q is neither local nor kube", c.Launcher)}
	}
	if _, _, err := net.SplitHostPort(c.RunnerPublic); err != nil {
		faults = append(faults, errors.New("DAVIT_LAUNCHER=kube needs DAVIT_RUNNER_PUBLIC: host:port of the headless Service at which pods reach all gateways"))
	}
	switch c.KubePullPolicy {
	case "IfNotPresent", "Always", "Never":
	default:
		faults = append(faults, fmt.Errorf("DAVIT_KUBE_PULL_POLICY: %q is none of IfNotPresent, Always, Never", c.KubePullPolicy))
	}
	if why := faas.TriggerName(c.KubeNamespace).Check(); why != "" {
		faults = append(faults, fmt.Errorf("DAVIT_KUBE_NAMESPACE: %s", why))
	}
	return faults
}

// capabilities are what functions can ask for here.
func (c *Config) capabilities() faas.Capabilities {
	if c.Launcher == launcherKube {
		return faas.Capabilities{Images: true, Builds: true, Secrets: true, Root: true, WritableRoot: true, Egress: true, GPU: true}
	}
	return faas.Capabilities{Secrets: true, Why: "it needs a cluster, and this installation runs functions as local processes"}
}
