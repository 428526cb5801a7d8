package docker

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/moby/moby/api/types/image"

	"davit/internal/faas"
)

// Names in the build context and in the image.
const (
	sourceFolder = "source"
	runnerFolder = "davit"

	runnerPath   = "/davit/runner"
	workPath     = "/davit/work" // where a runner works: a volume, or this folder of the image
	functionPath = "/function"

	stopSignal = "SIGTERM" // at which the runner drains
)

// wrapper describes how an image is prepared to run a function.
type wrapper struct {
	base    string // id
	config  config // of the base
	source  bool   // the image gets the source at /function
	keepDir bool   // commands run in the base's working directory, not in the source
	setup   string // run as root
}

// config is the part of an image's configuration that a wrapper needs.
type config struct {
	User, WorkingDir, StopSignal string
	Entrypoint, Cmd              []string
}

func configOf(found *image.InspectResponse) config {
	if found.Config == nil {
		return config{}
	}
	c := found.Config
	return config{User: c.User, WorkingDir: c.WorkingDir, StopSignal: c.StopSignal, Entrypoint: c.Entrypoint, Cmd: c.Cmd}
}

// command returns what the image runs by default.
func (c *config) command() faas.Command { return slices.Concat(c.Entrypoint, c.Cmd) }

// text returns the wrapper as a Dockerfile. The runner comes first, so that all functions on one base share that layer.
// Lines without an effect are left out, because each takes the daemon a fifth of a second.
func (w *wrapper) text() (string, error) {
	if strings.ContainsFunc(w.config.User, unicode.IsControl) {
		return "", faas.Errorf(faas.BuildFailed, "the image's user has control characters")
	}
	var b strings.Builder
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(&b, format+"\n", args...) }
	line("FROM %s", w.base)
	line("COPY %s/ /davit/", runnerFolder)
	if w.source {
		line("COPY %s/ %s/", sourceFolder, functionPath)
		if !w.keepDir && w.config.WorkingDir != functionPath {
			line("WORKDIR %s", functionPath)
		}
	}
	if w.setup != "" {
		if w.config.User != "" {
			line("USER 0:0")
		}
		var words strings.Builder // JSON keeps it on one line; unescaped HTML is easier to read
		e := json.NewEncoder(&words)
		e.SetEscapeHTML(false)
		if err := e.Encode([]string{"/bin/sh", "-c", w.setup}); err != nil {
			return "", fmt.Errorf("write the setup command: %w", err)
		}
		line("RUN %s", strings.TrimSpace(words.String()))
		if w.config.User != "" {
			line("USER %s", w.config.User)
		}
	}
	if w.config.StopSignal != "" && w.config.StopSignal != stopSignal {
		line("STOPSIGNAL %s", stopSignal)
	}
	line(`ENTRYPOINT ["%s"]`, runnerPath) // which also resets the base's CMD
	return b.String(), nil
}
