package register

import (
	"context"
	"errors"
	"fmt"
	"io"

	"davit/internal/blob"
	"davit/internal/faas"
)

// Sources reads the sources that revisions are built from.
type Sources struct {
	Objects Objects
}

// Open opens the source that rev was registered with. The caller closes it. The error is BuildFailed if the store does
// not have the source, and Unavailable if the store does not answer.
func (s Sources) Open(ctx context.Context, rev *faas.Revision) (io.ReadCloser, error) {
	r, _, err := s.Objects.Get(ctx, revisionKey(rev.Ref(), sourceObject), 0, -1)
	if errors.Is(err, blob.ErrNotFound) {
		return nil, &faas.Error{Kind: faas.BuildFailed, Detail: fmt.Sprintf("the source of revision %d is not in the store", rev.Number), Err: err}
	}
	if err != nil {
		return nil, readable(fmt.Errorf("open the source of %s: %w", rev.Ref(), err))
	}
	return r, nil
}
