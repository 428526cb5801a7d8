package kube

import (
	"bytes"
	"encoding/json"
	"fmt"

	"davit/internal/faas"
	"davit/internal/task"
)

// launchText returns the task.Launch of a runner as the value of an environment variable. The runner's id, its token
// and users' secrets are in variables of their own.
func launchText(rev *faas.Revision, start faas.Start, id faas.InvocationID, gateways []string) (string, error) {
	s := &rev.Spec
	l := task.Launch{
		Function: rev.Function, Revision: rev.Number, Start: start, Invocation: id,
		Gateways: gateways, Slots: 1,
		Env:          s.Env,
		StartProcess: s.Start, StartTimeout: s.Timeout,
		SourceDir: task.WorkingDir, Dir: workDir, Sandbox: podSandbox,
	}
	if start == faas.StartWarm && s.Warm != nil {
		l.Slots = max(1, s.Warm.Concurrency)
		l.MaxCalls, l.MaxAge = s.Warm.MaxCalls, s.Warm.MaxAge
		l.Common = []string{tempDir, memoryDir, queueDir}
	}
	text, err := json.Marshal(&l)
	if err != nil {
		return "", fmt.Errorf("encode the launch: %w", err)
	}
	// Escape "$", because Kubernetes replaces $(NAME) in a pod's environment.
	text = bytes.ReplaceAll(text, []byte("$"), []byte(`\u0024`))
	if len(text) > maxLaunchBytes {
		return "", faas.Errorf(faas.NotAllowed, "env and start of function %q need %d bytes, but a pod takes only %d; put long values into the source or the image",
			rev.Function, len(text), maxLaunchBytes)
	}
	return string(text), nil
}

// podSandbox describes to people how a pod confines its commands.
const podSandbox = "a pod of its own: seccomp, no capabilities, sized volumes"

// Paths in a pod.
const (
	RunnerPath = "/davit/runner" // the runner's program, the image's entry point
	workDir    = "/davit/work"   // workspaces, scratch, shared
	tempDir    = "/tmp"
	memoryDir  = "/dev/shm"
	queueDir   = "/dev/mqueue" // POSIX message queues; every container has this folder
)

// maxLaunchBytes bounds the launch: one variable has at most MAX_ARG_STRLEN bytes in the kernel, its name included.
const maxLaunchBytes = 128<<10 - 64
