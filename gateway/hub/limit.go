package hub

import (
	"errors"
	"fmt"
	"io"
)

var (
	errHeadTooLarge   = fmt.Errorf("the head of an answer has more than %d bytes", maxHead)
	errTooManyInterim = errors.New("too many interim answers")
)

// limitReader bounds the size of an answer's head. It does not bound a body.
type limitReader struct {
	r    io.Reader
	left int64
}

// Read returns errHeadTooLarge once the limit is used up.
func (l *limitReader) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, errHeadTooLarge
	}
	n, err := l.r.Read(p)
	l.left -= int64(n)
	return n, err
}

const maxHead = 64 << 10
