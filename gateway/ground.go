package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/google/uuid"

	"davit/gateway/redisstore"
	"davit/internal/faas"
)

func newGatewayID() faas.GatewayID {
	return faas.GatewayID("gw-" + strings.ReplaceAll(uuid.NewString(), "-", "")[:12])
}

// ground is what every part stands on.
type ground struct {
	id      faas.GatewayID
	files   *files
	net     *listeners
	store   *redisstore.Store
	secret  []byte // of the installation
	objects *objects
}

func openGround(ctx context.Context, cfg *Config, log *slog.Logger, life *life) (g *ground, err error) {
	g = &ground{id: newGatewayID()}
	if g.files, err = prepareFiles(cfg); err != nil {
		return nil, fmt.Errorf("prepare the data folder: %w", err)
	}
	if g.net, err = listen(ctx, cfg); err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	life.onStop("listeners", g.net.close)
	if g.store, err = openRedis(ctx, cfg, log, life); err != nil {
		return nil, fmt.Errorf("open Redis: %w", err)
	}
	if g.secret, err = g.store.Secret(ctx); err != nil {
		return nil, fmt.Errorf("read the installation's secret: %w", err)
	}
	if g.objects, err = openStore(ctx, cfg, g.net, g.secret, log, life); err != nil {
		return nil, fmt.Errorf("open the object store: %w", err)
	}
	return g, nil
}
