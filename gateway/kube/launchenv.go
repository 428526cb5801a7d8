package kube

import (
	"bytes"
	"encoding/json"
	"fmt"

	"davit/internal/faas"
	"davit/internal/task"
)

// launchText is the task.Launch of a runner, as the value of a variable. Who the
// runner is and its secrets the pod gets in variables of their own.
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
	// $(NAME) in a pod's environment would be replaced; JSON can spell it otherwise.
	text = bytes.ReplaceAll(text, []byte("$"), []byte(`\u0024`))
	if len(text) > maxLaunchBytes {
		return "", faas.Errorf(faas.NotAllowed, "env and start of function %q need %d bytes, and a pod takes %d: put what is long into the source or the image",
			rev.Function, len(text), maxLaunchBytes)
	}
	return string(text), nil
}

// podSandbox is what confines the commands, for people.
const podSandbox = "a pod of its own: seccomp, no capabilities, sized volumes"

// Paths in a pod.
const (
	RunnerPath = "/davit/runner" // the runner's program, the image's entry point
	workDir    = "/davit/work"   // workspaces, scratch, shared
	tempDir    = "/tmp"
	memoryDir  = "/dev/shm"
	queueDir   = "/dev/mqueue" // POSIX message queues: every container has it
)

// maxLaunchBytes is the most that a pod's environment holds in one variable,
// less its name (MAX_ARG_STRLEN of the kernel).
const maxLaunchBytes = 128<<10 - 64
