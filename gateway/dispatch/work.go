package dispatch

import (
	"context"
	"sync"
)

// work is what goes on in the background; Run waits for it.
type work struct {
	base context.Context //nolint:containedctx // the parent of background work and of calls; Run cancels it
	stop context.CancelCauseFunc
	sync.WaitGroup
}

func newWork() *work {
	w := &work{}
	w.base, w.stop = context.WithCancelCause(context.Background())
	return w
}

// start runs f in the background.
func (w *work) start(f func(ctx context.Context)) {
	w.Go(func() { f(w.base) })
}
