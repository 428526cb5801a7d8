// Package testenv starts real servers for tests: Redis, MinIO, versitygw, dockerd and an image registry. Each server is
// a process on a free port of loopback, has its data in a temporary folder, and ends with the test.
//
// The package is for tests only. It installs nothing: `make test-deps` installs what `make test` needs, and `make
// test-deps-all` what `make test-all` needs. If a server is not installed, the test fails with that remedy and is never
// skipped.
//
// Start with [Redis] and [S3], or with [StartRedis] if the test stops, kills or pauses Redis. [MinIO] and [Versity] are
// for tests of one S3 server in particular; [Docker] and [Registry] are for building images.
package testenv

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// The versions of the programs that hack/test-deps builds.
const (
	minioVersion    = "v0.0.0-20260212201848-7aac2a2c5b7c"
	registryVersion = "v3.1.2"
	versityVersion  = "v1.8.0"
)

// remedy returns the end of a message about a missing server.
func remedy(program string) string {
	switch program {
	case "redis-server", "versitygw":
		return "run: make test-deps"
	default:
		return "run: make test-deps-all"
	}
}

// lookup returns the path of a server's program: from the environment variable, else on the PATH, else in the tool
// cache.
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
	return "", fmt.Errorf("%s is not installed; %s", program, remedy(program))
}

// toolCache returns the folder into which hack/test-deps builds programs. Both must use the same folder.
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
