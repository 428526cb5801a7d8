package blob

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/minio/minio-go/v7"
)

// translateS3 wraps an error of the client in one of this package. If ctx has ended, it returns the error of ctx.
func translateS3(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var answer minio.ErrorResponse
	if !errors.As(err, &answer) {
		return fmt.Errorf("%w: %w", ErrUnavailable, err) // no answer, or an incomplete one
	}
	if kind := kindOfAnswer(answer); kind != nil {
		return fmt.Errorf("%w: %w", kind, err)
	}
	return err
}

// kindOfAnswer returns this package's error for an answer; nil if the request itself is wrong, which only a bug of this
// program causes.
func kindOfAnswer(answer minio.ErrorResponse) error {
	switch answer.Code {
	case minio.NoSuchKey, minio.NoSuchUpload:
		return ErrNotFound
	case minio.PreconditionFailed:
		return ErrExists
	case "KeyTooLongError", minio.XMinioInvalidObjectName, "XMinioInvalidResourceName", "XMinioParentIsObject":
		return ErrInvalidKey
	case "InvalidPart", "InvalidPartOrder", "EntityTooSmall":
		return ErrMismatch
	case minio.NoSuchBucket, "SlowDown", "RequestTimeout",
		"XAdminUserNotFound": // versitygw's answer, of status 404, to an access key that it does not know
		return ErrUnavailable
	}
	switch status := answer.StatusCode; {
	case status >= 500, status == http.StatusForbidden, status == http.StatusUnauthorized,
		status == http.StatusTooManyRequests, status == http.StatusConflict:
		return ErrUnavailable
	}
	return nil
}
