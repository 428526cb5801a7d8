// Package blob stores whole objects under keys: sources, inputs, results, logs.
//
// It is one small interface, [Store], with its whole contract in the comments, and [Signer], which makes
// URLs through which others read or write one object without holding a key to the store. [S3] is both on
// any S3 server; [Folder] is both on a folder of this machine, for the embedded default. The suite in
// blobtest holds each to every sentence here.
//
// It does not know what the objects mean, keeps no versions, and cleans nothing up by itself.
package blob

import (
	"context"
	"io"
	"iter"
	"time"
)

const (
	// DefaultContentType is that of an object stored without one.
	DefaultContentType = "application/octet-stream"

	// formType is not kept: S3 servers take the POST that begins an upload in parts for a browser's form.
	formType = "multipart/form-data"
	// MaxTTL is how long a signed URL can live at most.
	MaxTTL = 7 * 24 * time.Hour

	maxContentTypeBytes = 512
)

// Info describes one object.
type Info struct {
	Key         Key
	Size        int64     // of the whole object in bytes
	ETag        string    // without quotes; another content has another one; may be empty in what List gives
	ContentType string    // empty in what List gives
	ModifiedAt  time.Time // when it was put, by the store's clock; may be zero in what Put gives
	SHA256      string    // of the content in hex, empty where the store does not know it; may be empty in what List gives
}

// PutOptions say how an object is put. The zero value is the usual way.
type PutOptions struct {
	ContentType string // printable ASCII, at most 512 bytes; empty, and that of a form, mean DefaultContentType
	SHA256      string // of the content in hex; if given, another content is refused with ErrMismatch
	IfAbsent    bool   // refuse with ErrExists instead of replacing an object

	mark string // tells one Put from others where the answer does not
}

// Opener reads length bytes of a stored object from offset on; length -1 is to the end.
type Opener = func(offset, length int64) (io.ReadCloser, error)

// Store keeps objects. All methods may be called from any number of goroutines and processes at once.
//
// Every error wraps what was tried, and where it applies one of this package's errors. When ctx ends, the
// method returns soon, with an error that wraps ctx's.
type Store interface { //nolint:interfacebloat // what a store is; users declare the few methods that they need
	// Put stores what it reads from r under key, and replaces what was there. It is atomic: the key holds
	// what it held before, and then, at once, all of the new object. Of concurrent Puts on one key, one wins
	// whole. When Put has returned without error, the object is readable by everyone and survives the death
	// of any process. When it has failed, nothing has changed; only after ErrUnavailable, or when ctx ended,
	// the object may be there none the less, whole, because just the answer was lost.
	//
	// r is read to its end, which must come after exactly size bytes; size -1 means any number. Otherwise,
	// and when r fails, nothing is stored: ErrMismatch, or r's own error. Memory stays bounded whatever the
	// size. r is not touched after Put has returned, which therefore waits for a Read under way.
	//
	// With IfAbsent, of any number of concurrent Puts exactly one succeeds, on every S3 server that honours
	// `If-None-Match: *`; on others only a key that was there before the call is noticed.
	Put(ctx context.Context, key Key, r io.Reader, size int64, o PutOptions) (Info, error)

	// Get reads length bytes of an object from offset on; length -1 means to the end. A range is cut at the
	// object's end; one that begins at the end or past it is empty. Info describes the whole object.
	// ErrNotFound if there is none. The caller closes the reader, at any time. ctx must live as long as the
	// reader is read. A transfer that breaks is an error from Read, never an early io.EOF. An object that
	// is replaced or deleted meanwhile is read to its end as it was, or fails; it is never a mixture. The Put
	// or Delete may have to wait for the reader: on MinIO it does, up to half a minute.
	Get(ctx context.Context, key Key, offset, length int64) (io.ReadCloser, Info, error)

	// Stat describes an object. ErrNotFound if there is none.
	Stat(ctx context.Context, key Key) (Info, error)

	// Delete removes an object. Deleting what is not there is no error.
	Delete(ctx context.Context, key Key) error

	// List gives the objects whose keys begin with prefix and come after the key `after` (empty: from the
	// first on), ascending by the bytes of their keys. Every object that was there during the whole
	// iteration is given once; of others, nothing is promised. Key, Size and ModifiedAt are set. A
	// prefix is a string, not a folder: "a" finds "a/b" and "ab". An error ends the iteration. ErrInvalidKey
	// for a prefix with which no key can begin.
	List(ctx context.Context, prefix string, after Key) iter.Seq2[Info, error]

	// Ready is nil when the store answers and can be used, and ErrUnavailable otherwise.
	Ready(ctx context.Context) error
}

// SignOptions say how the answer to a signed download looks. They are part of what is signed.
type SignOptions struct {
	Filename    string // proposed to a browser; any text, slashes become underscores. The answer is an attachment in any case
	ContentType string // in place of the object's own, if not empty
}

// Signer makes URLs with which whoever holds them can do one thing with one object until they expire:
// another method (save HEAD, which a store may answer where GET is allowed), another key, another option
// or a later time is refused with 403. Signing costs no network round trip and does not look whether the
// object exists. A ttl is rounded down to seconds; less than one second or more than MaxTTL is an error.
type Signer interface {
	// SignGet signs a download for the public, on the public address.
	SignGet(ctx context.Context, key Key, ttl time.Duration, o SignOptions) (string, error)
	// SignRunnerGet signs a download on the address that runners reach.
	SignRunnerGet(ctx context.Context, key Key, ttl time.Duration) (string, error)
	// SignPut signs an upload on the address that runners reach: a PUT with a Content-Length, at most 5 GiB
	// on S3. A body that ends short of it stores nothing; on versitygw 1.8 what came of it, so an object
	// that no uploader vouches for is none.
	SignPut(ctx context.Context, key Key, ttl time.Duration) (string, error)
}

// MultipartSigner is what a store offers whose single PUT has a size limit: the object comes in parts, of
// at least 5 MiB save the last, and becomes visible, whole, at Complete.
type MultipartSigner interface {
	// StartMultipart begins an upload. It must be completed or aborted.
	StartMultipart(ctx context.Context, key Key) (uploadID string, err error)
	// SignPart signs the PUT of part n, from 1 to 10,000, on the address that runners reach. The answer's
	// ETag header is what Complete needs.
	SignPart(ctx context.Context, key Key, uploadID string, n int, ttl time.Duration) (string, error)
	// Complete makes the object of the parts 1 to len(etags), as they come. ErrNotFound if there is no such
	// upload; ErrMismatch if a part is missing, too small or not the one that its ETag names.
	Complete(ctx context.Context, key Key, uploadID string, etags []string) error
	// Abort forgets the upload and its parts. Aborting what is not there is no error.
	Abort(ctx context.Context, key Key, uploadID string) error
}

// UploadSweeper is what a store offers that keeps unfinished uploads in parts until someone aborts them.
type UploadSweeper interface {
	// SweepUploads aborts every upload that was begun before that instant and has got no part since, by
	// the store's clock, whoever began it, and returns how many they were. An upload that is completed
	// meanwhile is left alone. On an error it has swept what it could.
	SweepUploads(ctx context.Context, before time.Time) (int, error)
}
