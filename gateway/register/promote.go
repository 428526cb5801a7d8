package register

import (
	"context"
	"errors"
	"fmt"

	"davit/internal/faas"
)

// bringUp has the first runner of a built revision wait for calls, so that the
// revision can become live without any of them waiting for a start. The next
// build need not wait for it.
func (s *Service) bringUp(ctx context.Context, b *build, image string) error {
	b.pass()
	next := *b.rev
	next.Image = image
	err := s.retry(ctx, "bring up the first runner of "+next.Ref().String(), func() error {
		done, err := s.o.Readier.Ready(ctx, &next, b.log)
		if err == nil {
			b.release = done
		}
		return err
	})
	var e *faas.Error
	if !errors.As(err, &e) || e.Kind != faas.BuildFailed {
		return err
	}
	if e.LogTail != "" {
		b.log.printf("the start process said last:\n%s\n", e.LogTail)
	}
	failed := *e
	failed.Detail += ". Register it again when that is mended"
	if live, err := s.o.Catalog.Live(next.Function); err == nil {
		failed.Detail += fmt.Sprintf("; until then revision %d stays live", live.Number)
	}
	return &failed
}
