package park

import "context"

func newLink(ctx context.Context, l *connections, address string) *link {
	k := &link{conns: l, address: address, log: l.log.With("gateway", address), wanted: true}
	k.ctx, k.cancel = context.WithCancel(ctx)
	return k
}
