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

// spooled is an uploaded source on this machine's disk, checked or not yet.
type spooled struct {
	file *os.File
	size int64
	sum  string
}

// spool reads an upload of at most so many bytes to its end. Nothing of it has a
// name on disk, so nothing is left behind. Close it.
func (s *Service) spool(source io.Reader, most int64) (*spooled, error) {
	f, err := os.CreateTemp(s.o.SpoolDir, "source-")
	if err != nil {
		return nil, fmt.Errorf("spool the source: %w", err)
	}
	up := &spooled{file: f}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(fmt.Errorf("spool the source: %w", err), up.Close())
	}
	sum := sha256.New()
	in := &markedReader{r: io.LimitReader(source, most+1)}
	up.size, err = io.Copy(io.MultiWriter(f, sum), in)
	switch {
	case in.err != nil:
		err = unread(in.err)
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

// reader reads the source from its first byte on.
func (u *spooled) reader() io.Reader { return io.NewSectionReader(u.file, 0, u.size) }

func (u *spooled) Close() error { return u.file.Close() }

// unread is the error of an upload that broke; one that is made for users stays as it is.
func unread(err error) error {
	var e *faas.Error
	if errors.As(err, &e) {
		return e
	}
	return &faas.Error{Kind: faas.Invalid, Detail: "the upload ended before the source was whole", Err: err}
}

// markedReader remembers its error, to tell it from the writer's.
type markedReader struct {
	r   io.Reader
	err error
}

func (m *markedReader) Read(b []byte) (int, error) {
	n, err := m.r.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		m.err = err
	}
	return n, err
}
