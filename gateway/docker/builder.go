package docker

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/moby/moby/api/types/registry"
	"github.com/moby/moby/client"

	"davit/internal/archive"
	"davit/internal/faas"
)

// Options are the settings of a Builder. Host, Registry and Runner are required.
type Options struct {
	Host          string   // of the Docker daemon: unix:///path or tcp://host:port
	Certs         string   // folder with ca.pem, cert.pem and key.pem, to speak TLS; "": without
	Registry      string   // host[:port][/path] to push to, as the daemon reaches it
	RegistryPull  string   // the same as nodes reach it; "": Registry
	RegistryLogin string   // to push with, see [Builder.Build]; "": none
	BaseImage     string   // that functions get which name none; always allowed
	BaseImages    []string // names that base images may have, "*" stands for anything; none: all are allowed
	Runner        string   // path of the davit-runner program
	Dir           string   // for sources while they are read; "": the system's

	Limits  archive.Limits // of sources
	Memory  faas.Bytes     // of a step; 0: unbounded
	Disk    faas.Bytes     // that a step may write; 0: unbounded
	Output  faas.Bytes     // that a build may write to its log; 0: unbounded
	Longest time.Duration  // of a build; what a daemon has of an older one is removed. 0: an hour

	// Secret returns the value of a function's registry_secret; nil: there are none.
	Secret func(ctx context.Context, name string) (string, error)
	// Known tells whether a revision is still registered; the images of others are removed. nil: all are kept.
	Known func(ctx context.Context, ref faas.RevisionRef) (bool, error)

	Log *slog.Logger
	Now func() time.Time
}

// Builder builds images. Its methods may be called at the same time.
type Builder struct {
	opts     Options
	docker   *client.Client
	registry address // to push to
	pull     address // that nodes pull from
	allowed  allowList

	pushWait time.Duration // before the second try of a push

	life    context.Context //nolint:containedctx // of what goes on after a build
	stop    context.CancelFunc
	tidying sync.WaitGroup

	building sync.RWMutex // held to read by builds, to write by who removes what they may be about to use

	mu         sync.Mutex
	pulled     map[string]*pulled   // by reference: what this process brought to the daemon
	orphans    map[string]bool      // images that steps made and nobody may need
	inUse      map[string]bool      // those of them that something else was found to need
	incomplete []span               // when builds ran of which it is not known what they made
	gone       map[string]time.Time // tags of revisions that are not registered, with when that was first seen
}

// work is one build.
type work struct {
	*Builder
	rev   *faas.Revision
	log   io.Writer
	mark  string // a host name that the containers of this build know, and no others
	os    string // that the daemon runs
	arch  string
	login *login // of the function; nil: none

	began      time.Time
	uses       []string // images that were fetched for it
	made       []string // images that its steps made
	incomplete bool     // and some that are not known
}

func (w *work) logf(format string, args ...any) { _, _ = fmt.Fprintf(w.log, format+"\n", args...) }

// pulled is an image that the daemon has because of this process.
type pulled struct {
	at     time.Time
	id     string
	secret string // the registry_secret that it was pulled with
	users  int    // builds
}

// login is what a registry wants to know, for one host or for any.
type login struct {
	any    *registry.AuthConfig
	byHost map[string]registry.AuthConfig
}

// span is a time of the gateway's clock; the daemon's may be another by slack.
type span struct{ from, to time.Time }

const slack = time.Minute

func (s span) contains(at time.Time) bool {
	return at.After(s.from.Add(-slack)) && at.Before(s.to.Add(slack))
}
