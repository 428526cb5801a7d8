package recovery_test

import (
	"errors"
	"testing"
	"time"

	"davit/gateway/dispatch/dispatchtest"
	"davit/gateway/recovery"
	"davit/internal/blob"
)

// TestAbandonedUploadsAreSwept: those that got nothing for long, whoever began them, and no others.
func TestAbandonedUploadsAreSwept(t *testing.T) {
	s3 := dispatchtest.OpenS3(t)
	r := dispatchtest.NewOf(t, dispatchtest.Options{S3: s3}, dispatchtest.Warm(), dispatchtest.Sh("true"))
	id, err := s3.StartMultipart(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	url, err := s3.SignPart(t.Context(), "k", id, 1, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	after := func(d time.Duration) *recovery.Recoverer {
		options := r.RecoveryOptions
		options.Now = func() time.Time { return time.Now().Add(d) }
		return recovery.New(options)
	}
	after(30 * time.Minute).SweepUploads(t.Context())
	etag := dispatchtest.PutPart(t, url, "x")
	after(time.Hour).SweepUploads(t.Context())
	if err := s3.Complete(t.Context(), "k", id, []string{etag}); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("it is still there: %v", err)
	}
}
