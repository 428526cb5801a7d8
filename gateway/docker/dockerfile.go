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

// Names in what is sent to the daemon, and in the image.
const (
	sourceFolder = "source"
	runnerFolder = "davit"

	runnerPath   = "/davit/runner"
	workPath     = "/davit/work" // where a runner works: a volume, or this folder of the image
	functionPath = "/function"

	stopSignal = "SIGTERM" // that the runner drains on
)

// wrapper says how an image is made fit to run functions.
type wrapper struct {
	base    string // id
	config  config // of the base
	source  bool   // it gets the source at /function
	keepDir bool   // commands see the base's working directory, not the source
	setup   string // run as root
}

// config is what is read of an image's configuration.
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

// command is what the image runs.
func (c *config) command() faas.Command { return slices.Concat(c.Entrypoint, c.Cmd) }

// text is the wrapper as a Dockerfile. The runner comes first, so that all functions on one base share that layer. There
// is no line that is not needed: each takes the daemon a fifth of a second.
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
		var words strings.Builder // one line, and as readable as it can be
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
	line(`ENTRYPOINT ["%s"]`, runnerPath) // with this, the base's CMD is gone
	return b.String(), nil
}
