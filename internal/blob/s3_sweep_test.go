package blob_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"davit/internal/blob"
	"davit/internal/testenv"
)

// upload is an unfinished multipart upload with parts of 1 MiB.
type upload struct {
	key   blob.Key
	id    string
	etags []string
}

func begin(t *testing.T, store *blob.S3, key blob.Key, parts int) *upload {
	t.Helper()
	id, err := store.StartMultipart(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	u := &upload{key: key, id: id}
	for range parts {
		u.add(t, store)
	}
	return u
}

func (u *upload) add(t *testing.T, store *blob.S3) {
	t.Helper()
	address, err := store.SignPart(t.Context(), u.key, u.id, len(u.etags)+1, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	_, header := fetch(t, "PUT", address, strings.Repeat("x", 1<<20))
	u.etags = append(u.etags, header.Get("ETag"))
}

// alive reports whether the upload can still be completed, by completing it.
func (u *upload) alive(t *testing.T, store *blob.S3) bool {
	t.Helper()
	err := store.Complete(t.Context(), u.key, u.id, u.etags)
	if err != nil && !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("complete %s: %v", u.key, err)
	}
	return err == nil
}

// nextSecond waits for the next full second, because a server may keep times in whole seconds.
func nextSecond(t *testing.T) time.Time {
	t.Helper()
	then := time.Now().Add(time.Second).Truncate(time.Second)
	testenv.Eventually(t, "the next second", func() bool { return !time.Now().Before(then) })
	return then
}

func sweep(t *testing.T, store *blob.S3, before time.Time) int {
	t.Helper()
	n, err := store.SweepUploads(t.Context(), before)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// notes counts the notes of unfinished uploads. List does not give them.
func notes(t *testing.T, server *testenv.S3Server, bucket string) int {
	t.Helper()
	client, err := minio.New(server.Endpoint, &minio.Options{Creds: credentials.NewStaticV4(server.AccessKey, server.SecretKey, ""), Region: server.Region})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for object := range client.ListObjectsIter(t.Context(), bucket, minio.ListObjectsOptions{Prefix: ".davit/", Recursive: true}) {
		if object.Err != nil {
			t.Fatal(object.Err)
		}
		n++
	}
	return n
}

func TestS3SweepsAbandonedUploads(t *testing.T) { onEachServer(t, s3SweepsAbandonedUploads) }

func s3SweepsAbandonedUploads(t *testing.T, server *testenv.S3Server) {
	o := s3Options(t, server)
	store := openS3(t, o)
	put(t, store, "object", "x")
	idle, empty, busy := begin(t, store, "idle", 1), begin(t, store, "a/empty", 0), begin(t, store, "busy", 0)
	then := nextSecond(t)
	busy.add(t, store)
	young := begin(t, store, "young", 1)
	for info, err := range store.List(t.Context(), "", "") {
		if err != nil || info.Key != "object" {
			t.Errorf("listed: %v, %v", info.Key, err)
		}
	}
	if n := sweep(t, store, then.Add(-time.Hour)); n != 0 {
		t.Errorf("swept %d uploads that are younger than an hour", n)
	}
	if n := sweep(t, store, then); n != 2 {
		t.Errorf("swept %d, want 2", n)
	}
	if idle.alive(t, store) || !busy.alive(t, store) || !young.alive(t, store) {
		t.Errorf("want only the idle uploads swept")
	}
	if err := store.Abort(t.Context(), empty.key, empty.id); err != nil {
		t.Error(err)
	}
	if n := notes(t, server, o.Bucket); n != 0 {
		t.Errorf("%d notes are left", n)
	}
	if n := sweep(t, store, time.Now().Add(time.Hour)); n != 0 {
		t.Errorf("swept %d more", n)
	}
}

// SweepUploads also aborts the upload of a Put that failed in the middle, and an upload that the server does not list
// after a restart.
func TestS3SweepsAfterARestart(t *testing.T) { onEachServer(t, s3SweepsAfterARestart) }

func s3SweepsAfterARestart(t *testing.T, server *testenv.S3Server) {
	o := s3Options(t, server)
	store := openS3(t, o)
	sent := 0
	_, err := store.Put(t.Context(), "put", readerFunc(func(p []byte) (int, error) {
		if sent += len(p); sent > 40<<20 {
			server.Kill()
			return 0, io.ErrUnexpectedEOF
		}
		return len(p), nil
	}), -1, blob.PutOptions{})
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatalf("put: %v", err)
	}
	server.Start()
	forgotten := begin(t, store, "parts", 1)
	server.Stop()
	if _, err := store.SweepUploads(t.Context(), time.Now()); !errors.Is(err, blob.ErrUnavailable) {
		t.Errorf("while the server is stopped: %v", err)
	}
	server.Start()
	if n := sweep(t, store, time.Now().Add(time.Hour)); n != 2 {
		t.Errorf("swept %d, want both", n)
	}
	if forgotten.alive(t, store) {
		t.Error("the upload of before the restart can still be completed")
	}
	if n := notes(t, server, o.Bucket); n != 0 {
		t.Errorf("%d notes are left", n)
	}
}

// A body of unknown size goes in one PUT unless it is large.
func TestS3PutsSmallStreamsInOneRequest(t *testing.T) {
	store := newS3(t, testenv.S3(t))
	for size, parts := range map[int]string{0: "", 1 << 20: "", 16<<20 - 1: "", 16 << 20: "-1", 16<<20 + 1: "-2", 32 << 20: "-2"} {
		content := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
		info, err := store.Put(t.Context(), "k", readerFunc(bytes.NewReader(content).Read), -1, blob.PutOptions{})
		_, mark, _ := strings.Cut(info.ETag, "-")
		if err != nil || info.Size != int64(size) || mark != strings.TrimPrefix(parts, "-") {
			t.Errorf("%d bytes: %+v, %v, want parts %q", size, info, err, parts)
		}
		r, _, err := store.Get(context.WithoutCancel(t.Context()), "k", 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil || !slices.Equal(got, content) {
			t.Errorf("%d bytes: read %d, %v", size, len(got), err)
		}
	}
}
