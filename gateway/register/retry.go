package register

import (
	"context"
	"errors"
	"time"

	"davit/internal/blob"
	"davit/internal/faas"
)

const retryEvery = time.Second // what must be written in the end

// retry tries again while a dependency is away.
func (s *Service) retry(ctx context.Context, what string, try func() error) error {
	state := flank{log: s.o.Log, what: what}
	for {
		err := try()
		state.note(ctx, err)
		if err == nil || !isAway(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(retryEvery):
		}
	}
}

func isAway(err error) bool {
	return faas.KindOf(err) == faas.Unavailable || errors.Is(err, blob.ErrUnavailable)
}
