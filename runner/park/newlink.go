package park

import "context"

func newLink(ctx context.Context, l *lot, address string) *link {
	k := &link{lot: l, address: address, log: l.log.With("gateway", address), wanted: true}
	k.ctx, k.cancel = context.WithCancel(ctx)
	return k
}
