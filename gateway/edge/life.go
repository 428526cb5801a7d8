package edge

import (
	"context"
	"log/slog"
	"sync"
)

// life is the part of a Server that its requests use.
type life struct {
	name    string
	log     *slog.Logger
	buffers copyBuffers

	base          context.Context    //nolint:containedctx // of all requests
	abandon       context.CancelFunc // ends base
	draining      context.Context    //nolint:containedctx // ends when the server begins to shut down
	startDraining context.CancelFunc
}

func newLife(name string, log *slog.Logger) *life {
	l := &life{name: name, log: log}
	l.base, l.abandon = context.WithCancel(context.Background())
	l.draining, l.startDraining = context.WithCancel(l.base)
	return l
}

const copyBytes = 64 << 10

// copyBuffers is a pool of buffers of copyBytes, for copying answers.
type copyBuffers struct{ pool sync.Pool }

func (b *copyBuffers) get() *[]byte {
	if buf, ok := b.pool.Get().(*[]byte); ok {
		return buf
	}
	buf := make([]byte, copyBytes)
	return &buf
}

func (b *copyBuffers) put(buf *[]byte) { b.pool.Put(buf) }
