package register

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"davit/internal/faas"
)

// spooled is an uploaded source on this machine's disk.
type spooled struct {
	file *os.File // without a name
	size int64
	sum  string // SHA-256 in hex
}

// spool copies an upload of at most most bytes to a file in dir. The file has no name, so that no file remains if the
// process dies. The caller closes it.
func spool(dir string, source io.Reader, most int64) (*spooled, error) {
	f, err := os.CreateTemp(dir, "source-")
	if err != nil {
		return nil, fmt.Errorf("spool the source: %w", err)
	}
	up := &spooled{file: f}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(fmt.Errorf("spool the source: %w", err), up.Close())
	}
	sum := sha256.New()
	in := &errorReader{r: io.LimitReader(source, most+1)}
	up.size, err = io.Copy(io.MultiWriter(f, sum), in)
	switch {
	case in.err != nil:
		err = uploadError(in.err)
	case err != nil:
		err = fmt.Errorf("spool the source: %w", err)
	case up.size > most:
		err = faas.Errorf(faas.TooLarge, "the source is larger than %s", faas.Bytes(most))
	}
	if err != nil {
		return nil, errors.Join(err, up.Close())
	}
	up.sum = hex.EncodeToString(sum.Sum(nil))
	return up, nil
}

// reader returns a new reader of the whole source.
func (u *spooled) reader() io.Reader { return io.NewSectionReader(u.file, 0, u.size) }

func (u *spooled) Close() error { return u.file.Close() }

// uploadError returns the *faas.Error in err, or a new one for an upload that ended early.
func uploadError(err error) error {
	if e, ok := errors.AsType[*faas.Error](err); ok {
		return e
	}
	return &faas.Error{Kind: faas.Invalid, Detail: "the upload ended before the source was complete", Err: err}
}

// errorReader keeps the reader's error, because io.Copy does not distinguish it from the writer's.
type errorReader struct {
	r   io.Reader
	err error
}

func (e *errorReader) Read(b []byte) (int, error) {
	n, err := e.r.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		e.err = err
	}
	return n, err
}
