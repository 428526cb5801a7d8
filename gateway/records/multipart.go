package records

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"davit/gateway/objects"
	"davit/internal/blob"
	"davit/internal/faas"
	"davit/internal/task"
)

const (
	usualPartBytes = 64 << 20
	usualParts     = 1000 // so that the list of URLs stays short, parts grow beyond it
)

// BeginParts starts a multipart upload, for an object that is too large for one PUT, and signs its URLs. Any gateway
// can, whichever leads the invocation. Without an upload in the answer, the store takes none.
func (r *Reader) BeginParts(ctx context.Context, id faas.InvocationID, w task.PartsWanted) (*task.Parts, error) {
	signer, is := r.o.Signer.(blob.MultipartSigner)
	if !is {
		return &task.Parts{}, nil
	}
	key, err := r.partsKey(ctx, id, w.Object, w.Attempt)
	if err != nil {
		return nil, err
	}
	if w.Size <= 0 {
		return nil, faas.Errorf(faas.Invalid, "an upload of %d bytes needs no parts", w.Size)
	}
	least := cmp.Or(int64(r.o.PartBytes), usualPartBytes)
	p := &task.Parts{PartBytes: max(least, (w.Size+usualParts-1)/usualParts)}
	if p.Upload, err = signer.StartMultipart(ctx, key); err != nil {
		return nil, r.storeFault("the upload cannot be started now", err)
	}
	ttl := min(w.For.Std(), blob.MaxTTL)
	for n := 1; int64(n-1)*p.PartBytes < w.Size; n++ {
		url, err := signer.SignPart(ctx, key, p.Upload, n, ttl)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("sign part %d of %s: %w", n, key, err), signer.Abort(ctx, key, p.Upload))
		}
		p.URLs = append(p.URLs, url)
	}
	return p, nil
}

// CompleteParts makes the object of its parts, and checks that it is whole. It may be repeated when its answer was
// lost.
func (r *Reader) CompleteParts(ctx context.Context, id faas.InvocationID, done task.PartsDone) error {
	signer, is := r.o.Signer.(blob.MultipartSigner)
	if !is {
		return faas.Errorf(faas.Conflict, "this store takes no parts")
	}
	key, err := r.partsKey(ctx, id, done.Object, done.Attempt)
	if err != nil {
		return err
	}
	err = signer.Complete(ctx, key, done.Upload, done.ETags)
	if err != nil && !errors.Is(err, blob.ErrNotFound) {
		return r.storeFault("the upload cannot be completed now", err)
	}
	info, err := r.o.Objects.Stat(ctx, key) // an upload that is unknown may have been completed before
	if err != nil {
		return r.storeFault("the upload cannot be checked now", err)
	}
	if info.Size != done.Size {
		err := faas.Errorf(faas.Conflict, "the object has %d bytes, not %d", info.Size, done.Size)
		return errors.Join(err, r.o.Objects.Delete(ctx, key))
	}
	return nil
}

// partsKey is the key of an object of an invocation's present attempt.
func (r *Reader) partsKey(ctx context.Context, id faas.InvocationID, object task.PartObject, attempt int) (blob.Key, error) {
	inv, err := r.o.Calls.Find(ctx, id)
	if err != nil {
		return "", err
	}
	if inv.Attempt != attempt {
		return "", faas.Errorf(faas.Conflict, "attempt %d is not the present one of invocation %s", attempt, id)
	}
	switch object {
	case task.PartInput:
		return objects.Input(id), nil
	case task.PartResult:
		return objects.Result(id, attempt), nil
	case task.PartLog:
		return objects.Log(id, attempt), nil
	}
	return "", faas.Errorf(faas.Invalid, "%q is no object of an invocation", object)
}

// storeFault returns a Conflict for an upload that cannot succeed any more, else an Unavailable error.
func (r *Reader) storeFault(detail string, err error) error {
	if errors.Is(err, blob.ErrNotFound) || errors.Is(err, blob.ErrMismatch) {
		return &faas.Error{Kind: faas.Conflict, Detail: "the upload is not whole", Err: err}
	}
	r.o.StoreError("objects")
	return unavailable(detail, err)
}
