// Package blob stores whole objects under keys: sources, inputs, results, logs.
//
// [Store] is the interface; its comments are its whole contract. [Signer] makes URLs with which a client that has no
// credentials of the store reads or writes one object. [S3] implements both on any S3 server, [Folder] both on a folder
// of this machine, for the embedded default. The suite in package blobtest checks each implementation against every
// sentence of the contract.
//
// The package does not know what the objects mean, keeps no versions, and removes no object by itself.
package blob

import (
	"context"
	"io"
	"iter"
	"time"
)

const (
	// DefaultContentType is the content type of an object that is put without one.
	DefaultContentType = "application/octet-stream"

	// formType is replaced by DefaultContentType, because S3 servers read a POST of this type, with which a multipart
	// upload starts, as a form that a browser sends.
	formType = "multipart/form-data"
	// MaxTTL is how long a signed URL can be valid, at most.
	MaxTTL = 7 * 24 * time.Hour

	maxContentTypeBytes = 512
)

// Info describes one object.
type Info struct {
	Key         Key
	Size        int64     // of the whole object in bytes
	ETag        string    // without quotes; differs between contents; List may leave it empty
	ContentType string    // List leaves it empty
	ModifiedAt  time.Time // when the object was put, by the store's clock; Put may leave it zero
	SHA256      string    // of the content in hex; empty where the store does not know it; List may leave it empty
}

// PutOptions say how an object is put. The zero value replaces what is there and checks no checksum.
type PutOptions struct {
	ContentType string // printable ASCII, at most 512 bytes; empty and multipart/form-data mean DefaultContentType
	SHA256      string // of the content in hex; if it is set, Put refuses other content with ErrMismatch
	IfAbsent    bool   // Put refuses with ErrExists instead of replacing an object

	mark string // stored with the object, so that a Put whose answer was lost recognizes its own object
}

// Opener returns length bytes of a stored object from offset on; length -1 means to the end.
type Opener = func(offset, length int64) (io.ReadCloser, error)

// Store stores objects. Any number of goroutines and processes may call all methods at the same time.
//
// Every error says what was tried and wraps one of this package's errors where one applies. When ctx ends, a method
// returns soon, with an error that wraps the error of ctx.
type Store interface { //nolint:interfacebloat // what a store is; users declare the few methods that they need
	// Put stores the bytes that it reads from r under key, and replaces an object that is there. It is atomic: a reader
	// gets the old object or all of the new one. Of concurrent Puts on one key, the object of one is stored whole. When
	// Put returns without an error, every process can read the object, and the object survives the death of any
	// process. When Put fails, nothing has changed; after ErrUnavailable, or when ctx ended, the new object may be
	// stored, whole, because only the answer was lost.
	//
	// Put reads r to its end, which must come after exactly size bytes; size -1 means any number. If the end comes
	// elsewhere, Put stores nothing and returns ErrMismatch; if r fails, nothing and the error of r. Memory is bounded
	// for every size. Put does not return before its last Read of r has returned.
	//
	// With IfAbsent, exactly one of any number of concurrent Puts succeeds, on every S3 server that honours
	// `If-None-Match: *`; on other servers Put notices only an object that was there before the call.
	Put(ctx context.Context, key Key, r io.Reader, size int64, o PutOptions) (Info, error)

	// Get reads length bytes of an object from offset on; length -1 means to the end. A range is cut at the object's
	// end; a range that begins at the end or past it is empty. Info describes the whole object. ErrNotFound if there is
	// no object. The caller closes the reader, at any time, and ends ctx not before that. When the transfer breaks,
	// Read returns an error, never an early io.EOF. When the object is replaced or deleted meanwhile, the reader gives
	// the old object to its end or fails, and never gives a mixture. That Put or Delete may wait for the reader: on
	// MinIO it does, up to half a minute.
	Get(ctx context.Context, key Key, offset, length int64) (io.ReadCloser, Info, error)

	// Stat describes an object. ErrNotFound if there is none.
	Stat(ctx context.Context, key Key) (Info, error)

	// Delete removes an object. It is no error if there is none.
	Delete(ctx context.Context, key Key) error

	// List gives the objects whose keys begin with prefix and come after the key `after` (empty: from the first on),
	// ascending by the bytes of their keys. It gives every object once that exists during the whole iteration; whether
	// it gives an object that is put or deleted meanwhile is open. Key, Size and ModifiedAt are set. A prefix is a
	// string, not a folder: "a" finds "a/b" and "ab". An error ends the iteration. ErrInvalidKey for a prefix with
	// which no key can begin.
	List(ctx context.Context, prefix string, after Key) iter.Seq2[Info, error]

	// Ready returns nil if the store answers and can be used, and ErrUnavailable otherwise.
	Ready(ctx context.Context) error
}

// SignOptions say how the answer to a signed download looks. The signature covers them.
type SignOptions struct {
	Filename    string // proposed to a browser; any text, slashes become underscores. The answer is always an attachment
	ContentType string // replaces the object's own, if it is not empty
}

// Signer makes URLs, each of which allows one method on one object until it expires. A request with another method
// (except HEAD, which a store may answer where GET is allowed), another key or another option, and a request after the
// expiry, is refused with 403. Signing makes no network round trip and does not check that the object exists. A ttl is
// rounded down to seconds; less than one second or more than MaxTTL is an error.
type Signer interface {
	// SignGet signs a download on the public address.
	SignGet(ctx context.Context, key Key, ttl time.Duration, o SignOptions) (string, error)
	// SignRunnerGet signs a download on the address that runners reach.
	SignRunnerGet(ctx context.Context, key Key, ttl time.Duration) (string, error)
	// SignPut signs an upload on the address that runners reach: a PUT with a Content-Length, at most 5 GiB on S3. A
	// body that ends before that length stores nothing. versitygw 1.8 stores the bytes that came: there, an object
	// counts only after its uploader has reported it.
	SignPut(ctx context.Context, key Key, ttl time.Duration) (string, error)
}

// MultipartSigner signs multipart uploads, for a store that limits the size of one PUT. Each part except the last has
// at least 5 MiB. Complete makes the object visible, whole.
type MultipartSigner interface {
	// StartMultipart starts an upload. The caller completes or aborts it.
	StartMultipart(ctx context.Context, key Key) (uploadID string, err error)
	// SignPart signs the PUT of part n, from 1 to 10,000, on the address that runners reach. Complete needs the ETag
	// header of the answer to that PUT.
	SignPart(ctx context.Context, key Key, uploadID string, n int, ttl time.Duration) (string, error)
	// Complete joins the parts 1 to len(etags) to the object. ErrNotFound if there is no such upload; ErrMismatch if a
	// part is missing, too small, or has another ETag.
	Complete(ctx context.Context, key Key, uploadID string, etags []string) error
	// Abort removes the upload and its parts. It is no error if there is no such upload.
	Abort(ctx context.Context, key Key, uploadID string) error
}

// UploadSweeper aborts abandoned multipart uploads, for a store that keeps them until a client aborts them.
type UploadSweeper interface {
	// SweepUploads aborts every upload, of any client, that was started before that instant and got no part since, by
	// the store's clock. It returns how many uploads it aborted, also with an error. An upload that is completed
	// meanwhile stays complete.
	SweepUploads(ctx context.Context, before time.Time) (int, error)
}
