// Package testenv gives tests real servers: a Redis, a MinIO, a versitygw, a dockerd and an image registry, each a
// process of its own on a free port of loopback, with its data in a temporary directory, ended when the
// test ends.
//
// It is for tests only, and it does not install anything: `make test-deps` does. A server that is not
// installed fails the test with that remedy; it is never skipped.
//
// Start with [Redis], [MinIO] and [Versity] where a server only has to be there, and with [StartRedis] where the
// test stops, kills or pauses it. [Docker] and [Registry] are for building images.
package testenv

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// What hack/test-deps builds.
const (
	minioVersion    = "v0.0.0-20260212201848-7aac2a2c5b7c"
	registryVersion = "v3.1.2"
	versityVersion  = "v1.8.0"
)

// remedy is what every message about a missing server ends with.
const remedy = "run: make test-deps"

// lookup finds a server's program: where the environment variable says, else on the PATH, else in the
// tool cache.
func lookup(getenv func(string) string, variable, program, version string) (string, error) {
	if path := getenv(variable); path != "" {
		if err := executable(path); err != nil {
			return "", fmt.Errorf("%s is set, but %w", variable, err)
		}
		return path, nil
	}
	if path, err := exec.LookPath(program); err == nil {
		return path, nil
	}
	if version != "" {
		path := filepath.Join(toolCache(getenv), program+"@"+version, program)
		if executable(path) == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not installed; %s", program, remedy)
}

// toolCache is the folder into which hack/test-deps builds programs; the two must agree.
func toolCache(getenv func(string) string) string {
	if dir := getenv("DAVIT_TOOLS"); dir != "" {
		return dir
	}
	cache := getenv("XDG_CACHE_HOME")
	if cache == "" {
		cache = filepath.Join(getenv("HOME"), ".cache")
	}
	return filepath.Join(cache, "davit", "tools")
}

func executable(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.IsDir() || info.Mode()&0o111 == 0 {
		return fmt.Errorf("%s is not a program", path)
	}
	return nil
}
