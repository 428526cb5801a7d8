package register

import (
	"context"
	"log/slog"
	"time"

	"davit/gateway/faas"
)

// CatalogOptions are the parts of a Catalog.
type CatalogOptions struct {
	Registry Registry
	Beat     func(ctx context.Context, applied int64) error // says that this gateway lives and what it serves; called each second and after each change
	Log      *slog.Logger
}

// Catalog holds in memory what is served. Readers never wait for anything.
type Catalog struct{ o CatalogOptions }

// NewCatalog returns an empty Catalog; Load or Run fill it.
func NewCatalog(o CatalogOptions) *Catalog { return &Catalog{o: o} }

// Load reads everything once, so that a gateway serves from its first moment on.
func (c *Catalog) Load(ctx context.Context) error { return nil }

// Run follows the registry until ctx ends: at once after Wake, else within seconds.
func (c *Catalog) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Wake says that registrations have changed, or may have. It never blocks.
func (c *Catalog) Wake() {}

// Applied returns the version of the registry that is served.
func (c *Catalog) Applied() int64 { return 0 }

// Match finds the trigger for a request, see faas.Table.
func (c *Catalog) Match(method, rawPath string) (faas.Match, error) { return faas.Match{}, nil }

// Function returns a function or a NotFound error.
func (c *Catalog) Function(name faas.FunctionName) (*faas.Function, error) { return nil, nil }

// Live returns the revision that calls go to: NotFound without the function, Unavailable when none is ready.
func (c *Catalog) Live(name faas.FunctionName) (*faas.Revision, error) { return nil, nil }

// LiveRevisions returns the live revisions of all functions, by name.
func (c *Catalog) LiveRevisions() []*faas.Revision { return nil }

// Revision returns any revision; one that is not live is loaded once and remembered.
func (c *Catalog) Revision(ctx context.Context, ref faas.RevisionRef) (*faas.Revision, error) {
	return nil, nil
}

const awaitMost = 2 * time.Second
