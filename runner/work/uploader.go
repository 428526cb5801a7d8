package work

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"davit/internal/faas"
	"davit/internal/task"
	"davit/runner/scratch"
	"davit/runner/transfer"
)

const (
	// onePutBytes is the largest object that S3 takes in one PUT.
	onePutBytes = 5 << 30
	// uploadsAtOnce is how many objects are sent at the same time.
	uploadsAtOnce = 4
)

// Parts asks a gateway for the URLs of an upload that is too large for one PUT. Its methods try again until ctx ends or
// a gateway refuses for good.
type Parts interface {
	BeginParts(ctx context.Context, id faas.InvocationID, w task.PartsWanted) (*task.Parts, error)
	CompleteParts(ctx context.Context, id faas.InvocationID, done task.PartsDone) error
}

// uploader sends objects to the store, for all calls of a Worker.
type uploader struct {
	client *transfer.Client
	parts  Parts
	onePut int64 // the largest object for one PUT, in bytes
	log    *slog.Logger
	now    func() time.Time
	active chan struct{} // has a token for each object that is being sent
}

// object is an object of a call in the store.
type object struct {
	of          *task.Task // of the call
	what        task.PartObject
	to          string // signed URL
	contentType string
	file        *scratch.File
}

// put sends an object, and reports whether it is stored.
func (u *uploader) put(ctx context.Context, o *object) bool {
	select {
	case u.active <- struct{}{}:
		defer func() { <-u.active }()
	case <-ctx.Done():
		return false
	}
	err := u.send(ctx, o)
	if err != nil {
		u.log.Warn("object not stored", "invocation", o.of.Record.ID, "object", o.what, "error", err)
	}
	return err == nil
}

func (u *uploader) send(ctx context.Context, o *object) error {
	if o.file.Size() > u.onePut && u.parts != nil {
		err := u.putParts(ctx, o)
		if !errors.Is(err, errNoParts) {
			return err
		}
	}
	return u.client.Put(ctx, o.to, transfer.Object{
		Size: o.file.Size(), ContentType: o.contentType,
		Open: func() io.ReadCloser { return o.file.Reader(ctx, 0) },
	})
}

// errNoParts is the answer of a store that accepts an object of any size in one PUT.
var errNoParts = errors.New("the gateway gave no URLs of parts, because the store accepts an object of any size in one PUT")

// putParts uploads an object in parts. The upload is completed only if the SHA-256 of the bytes that were sent is the
// file's.
func (u *uploader) putParts(ctx context.Context, o *object) error {
	file := o.file
	done := task.PartsDone{Object: o.what, Attempt: o.of.Record.Attempt, Size: file.Size()}
	wanted := task.PartsWanted{Object: o.what, Attempt: done.Attempt, Size: done.Size}
	if deadline, is := ctx.Deadline(); is {
		wanted.For = faas.Duration(deadline.Sub(u.now()))
	}
	p, err := u.parts.BeginParts(ctx, o.of.Record.ID, wanted)
	if err != nil {
		return fmt.Errorf("begin the parts: %w", err)
	}
	if len(p.URLs) == 0 {
		return errNoParts
	}
	sum := sha256.New()
	for i, to := range p.URLs {
		from := int64(i) * p.PartBytes
		size := min(p.PartBytes, done.Size-from)
		if size <= 0 {
			return errors.New("there are more parts than bytes")
		}
		var last *summed // of the last try
		etag, err := u.client.PutPart(ctx, to, transfer.Object{Size: size, Open: func() io.ReadCloser {
			r := file.Reader(ctx, from)
			last = &summed{Closer: r, from: io.LimitReader(r, size), sum: clone(sum)}
			return last
		}})
		if err != nil {
			return fmt.Errorf("part %d of %d: %w", i+1, len(p.URLs), err)
		}
		sum = last.sumOf()
		done.ETags = append(done.ETags, etag)
	}
	if hex.EncodeToString(sum.Sum(nil)) != file.SHA256() {
		return errors.New("the SHA-256 of the bytes that were sent is not the file's")
	}
	done.Upload = p.Upload
	if err := u.parts.CompleteParts(ctx, o.of.Record.ID, done); err != nil {
		return fmt.Errorf("complete the parts: %w", err)
	}
	return nil
}
