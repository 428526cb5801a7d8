package runner

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"davit/internal/faas"
	"davit/internal/task"
)

// maxLaunch is the most bytes that a launch may have.
const maxLaunch = 4 << 20

// readLaunch reads the launch from stdin if from is "-", else from env, and completes it. The launch's Env becomes the
// environment of commands, without the variables that have the launch.
func readLaunch(from string, stdin io.Reader, env []string) (*task.Launch, error) {
	var launch task.Launch
	if from != "-" {
		if err := readVariables(&launch, env); err != nil {
			return nil, err
		}
	} else if err := json.NewDecoder(io.LimitReader(stdin, maxLaunch)).Decode(&launch); err != nil {
		return nil, fmt.Errorf("standard input: %w", err)
	}
	launch.Env = environment(env, launch.Env)
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
func readVariables(launch *task.Launch, env []string) error {
	if err := json.Unmarshal([]byte(variable(env, task.EnvLaunch)), launch); err != nil {
		return fmt.Errorf("%s: %w", task.EnvLaunch, err)
	}
	if runner := variable(env, task.EnvRunner); runner != "" {
		launch.Runner = faas.RunnerID(runner)
	}
	if token := variable(env, task.EnvToken); token != "" {
		launch.Token = token
	}
	return nil
}

// variable returns the value of a variable in env, or "".
func variable(env []string, name string) string {
	for _, v := range slices.Backward(env) {
		if value, is := strings.CutPrefix(v, name+"="); is {
			return value
		}
	}
	return ""
}

// environment returns the environment of commands: the program's own, which is that of its image, overlaid with the
// function's variables. It omits variables of Davit and of the cluster, and the variables of folders that each call has
// for itself.
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
