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
	Certs         string   // folder with ca.pem, cert.pem and key.pem, to use TLS; "": without TLS
	Registry      string   // host[:port][/path] to push to, as the daemon reaches it
	RegistryPull  string   // the same as nodes reach it; "": Registry
	RegistryLogin string   // for pushes, see [Builder.Build]; "": none
	BaseImage     string   // of functions that name none; always allowed
	BaseImages    []string // allowed names of base images, "*" matches any text; none: all are allowed
	Runner        string   // path of the davit-runner program
	Dir           string   // for spooled sources; "": the system's

	Limits  archive.Limits // of sources
	Memory  faas.Bytes     // per step; 0: unbounded
	Disk    faas.Bytes     // that a step may write; 0: unbounded
	Output  faas.Bytes     // that a build may write to its log; 0: unbounded
	Longest time.Duration  // time of a build; what an older one left in the daemon is removed. 0: an hour

	// Secret returns the value of a function's registry_secret; nil: there are none.
	Secret func(ctx context.Context, name string) (string, error)
	// Known reports whether a revision is registered; the images of others are removed. nil: all are kept.
	Known func(ctx context.Context, ref faas.RevisionRef) (bool, error)

	Log *slog.Logger
	Now func() time.Time
}

// Builder builds images. Its methods may be called concurrently.
type Builder struct {
	opts     Options
	docker   *client.Client
	registry address // to push to
	pull     address // that nodes pull from
	allowed  allowList

	pushWait time.Duration // before the second try of a push

	life    context.Context //nolint:containedctx // of the work after a build
	stop    context.CancelFunc
	tidying sync.WaitGroup

	building sync.RWMutex // locked for reading by builds, for writing by removals

	mu         sync.Mutex
	pulled     map[string]*pulled   // by reference: what this process has pulled
	orphans    map[string]bool      // ids of images that steps made and perhaps nothing needs
	inUse      map[string]bool      // ids of such images that were in use at the last try
	incomplete []span               // when builds ran whose images are not all known
	gone       map[string]time.Time // tags of unregistered revisions, with the time that was first seen
}

// work is one build.
type work struct {
	*Builder
	rev   *faas.Revision
	log   io.Writer
	mark  string // an extra host name of the containers of this build
	os    string // of the daemon
	arch  string
	login *login // of the function; nil: none

	began      time.Time
	uses       []string // references of images in Builder.pulled
	made       []string // ids of images that its steps made
	incomplete bool     // made lacks some
}

func (w *work) logf(format string, args ...any) { _, _ = fmt.Fprintf(w.log, format+"\n", args...) }

// pulled is an image that this process has pulled.
type pulled struct {
	at     time.Time
	id     string
	secret string // the registry_secret that it was pulled with
	users  int    // builds that use it now
}

// login holds credentials for registries: for any host, or by host.
type login struct {
	any    *registry.AuthConfig
	byHost map[string]registry.AuthConfig
}

// span is a time by the gateway's clock, from which the daemon's may differ by slack.
type span struct{ from, to time.Time }

const slack = time.Minute

func (s span) contains(at time.Time) bool {
	return at.After(s.from.Add(-slack)) && at.Before(s.to.Add(slack))
}
