package blob

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/minio/minio-go/v7"
)

const maxNoteBytes = 8 << 10

// note names an unfinished upload.
type note struct {
	Key    string `json:"key"`
	Upload string `json:"upload"`
}

func (n note) name() string {
	sum := sha256.Sum256([]byte(n.Upload + "\n" + n.Key))
	return notesPrefix + hex.EncodeToString(sum[:16])
}

// begin starts a multipart upload and writes its note.
func (s *S3) begin(ctx context.Context, name string, o minio.PutObjectOptions) (string, error) {
	id, err := s.client.NewMultipartUpload(ctx, s.bucket, name, o)
	if err != nil {
		return "", err
	}
	n := note{Key: name, Upload: id}
	b, err := json.Marshal(n)
	if err == nil {
		_, err = s.client.PutObject(ctx, s.bucket, n.name(), bytes.NewReader(b), int64(len(b)), "", "", minio.PutObjectOptions{})
	}
	if err != nil {
		s.abortFailed(ctx, name, id)
		return "", err
	}
	return id, nil
}

// abort aborts an upload and removes its note.
func (s *S3) abort(ctx context.Context, name, id string) error {
	err := s.client.AbortMultipartUpload(ctx, s.bucket, name, id)
	if err == nil || errors.Is(translateS3(ctx, err), ErrNotFound) {
		s.dropNote(ctx, name, id)
	}
	return err
}

// dropNote removes the note of an upload that is over. A note that stays is swept later.
func (s *S3) dropNote(ctx context.Context, name, id string) {
	_ = s.client.RemoveObject(ctx, s.bucket, note{Key: name, Upload: id}.name(), minio.RemoveObjectOptions{})
}

// SweepUploads implements UploadSweeper.
func (s *S3) SweepUploads(ctx context.Context, before time.Time) (int, error) {
	listed, err1 := s.sweepListed(ctx, before)
	noted, err2 := s.sweepNoted(ctx, before)
	if err := errors.Join(err1, err2); err != nil {
		return listed + noted, fmt.Errorf("sweep unfinished uploads: %w", err)
	}
	return listed + noted, nil
}

// sweepListed sweeps the uploads that the server lists.
func (s *S3) sweepListed(ctx context.Context, before time.Time) (swept int, err error) {
	var key, id string
	for {
		page, err := s.client.ListMultipartUploads(ctx, s.bucket, "", key, id, "", 0)
		if err != nil {
			return swept, translateS3(ctx, err)
		}
		n, err := s.sweepPage(ctx, page.Uploads, before)
		swept += n
		if err != nil || !page.IsTruncated {
			return swept, err
		}
		key, id = page.NextKeyMarker, page.NextUploadIDMarker
	}
}

func (s *S3) sweepPage(ctx context.Context, uploads []minio.ObjectMultipartInfo, before time.Time) (swept int, err error) {
	for _, u := range uploads {
		if !u.Initiated.Before(before) {
			continue
		}
		aborted, err := s.sweepOne(ctx, note{Key: u.Key, Upload: u.UploadID}, before)
		if err != nil {
			return swept, err
		}
		if aborted {
			swept++
		}
	}
	return swept, nil
}

// sweepNoted sweeps the uploads that notes name.
func (s *S3) sweepNoted(ctx context.Context, before time.Time) (swept int, err error) {
	ctx, cancel := context.WithCancel(ctx) // because ListObjectsIter goes on until ctx ends
	defer cancel()
	for object := range s.client.ListObjectsIter(ctx, s.bucket, minio.ListObjectsOptions{Prefix: notesPrefix, Recursive: true}) {
		if object.Err != nil {
			return swept, translateS3(ctx, object.Err)
		}
		if !object.LastModified.Before(before) {
			continue
		}
		aborted, err := s.sweepNote(ctx, object.Key, before)
		if err != nil {
			return swept, err
		}
		if aborted {
			swept++
		}
	}
	return swept, ctx.Err()
}

func (s *S3) sweepNote(ctx context.Context, name string, before time.Time) (bool, error) {
	object, _, _, err := s.client.GetObject(ctx, s.bucket, name, minio.GetObjectOptions{})
	if err != nil {
		if err = translateS3(ctx, err); errors.Is(err, ErrNotFound) {
			err = nil // another gateway has swept it
		}
		return false, err
	}
	b, err := io.ReadAll(io.LimitReader(object, maxNoteBytes))
	if err = errors.Join(err, object.Close()); err != nil {
		return false, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	var n note
	if json.Unmarshal(b, &n) != nil || n.name() != name {
		return false, translateS3(ctx, s.client.RemoveObject(ctx, s.bucket, name, minio.RemoveObjectOptions{}))
	}
	return s.sweepOne(ctx, n, before)
}

// sweepOne aborts an upload that got no part since before.
func (s *S3) sweepOne(ctx context.Context, n note, before time.Time) (bool, error) {
	latest, err := s.latestPart(ctx, n)
	switch err = translateS3(ctx, err); {
	case errors.Is(err, ErrNotFound): // completed or aborted
		s.dropNote(ctx, n.Key, n.Upload)
		return false, nil
	case err != nil:
		return false, err
	case !latest.Before(before):
		return false, nil
	}
	err = translateS3(ctx, s.abort(ctx, n.Key, n.Upload))
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// latestPart returns when the upload got its last part; zero if it has none.
func (s *S3) latestPart(ctx context.Context, n note) (latest time.Time, err error) {
	for marker := 0; ; {
		page, err := s.client.ListObjectParts(ctx, s.bucket, n.Key, n.Upload, marker, 0)
		if err != nil {
			return latest, err
		}
		for _, part := range page.ObjectParts {
			if part.LastModified.After(latest) {
				latest = part.LastModified
			}
		}
		if !page.IsTruncated || page.NextPartNumberMarker <= marker {
			return latest, nil
		}
		marker = page.NextPartNumberMarker
	}
}

const abortWithin = 10 * time.Second

// abortFailed aborts a failed upload, also if it failed because ctx has ended.
func (s *S3) abortFailed(ctx context.Context, name, id string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortWithin)
	defer cancel()
	_ = s.abort(ctx, name, id) // the caller returns the first error
}
