package embedded

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
)

const (
	maxArguments    = 1 << 20  // of one command
	maxRequestBytes = 64 << 20 // of one command's arguments together
	peekBytes       = 32 << 10 // an argument of up to this size is read without a separate buffer
)

// protocolError means that a request is not a command. The server closes the connection that sent it.
type protocolError string

func (e protocolError) Error() string { return "Protocol error: " + string(e) }

// limits bound one command.
type limits struct{ arguments, bytes int }

// requestReader reads commands in the form in which clients send them and the journal stores them: RESP arrays of bulk
// strings. A stated length allocates no memory before its bytes arrive.
type requestReader struct {
	r      *bufio.Reader
	limits limits
}

func newRequestReader(r io.Reader, l limits) *requestReader {
	return &requestReader{r: bufio.NewReaderSize(r, peekBytes+2), limits: l}
}

// next returns the next command, which has at least one argument. It returns io.EOF if the stream ends between two
// commands.
func (q *requestReader) next() ([]string, error) {
	for {
		n, err := q.length('*', q.limits.arguments)
		if err != nil {
			return nil, err
		}
		if n == 0 {
			continue
		}
		args := make([]string, 0, min(n, 64))
		left := q.limits.bytes
		for range n {
			arg, err := q.argument(left)
			if err != nil {
				return nil, errEarly(err)
			}
			left -= len(arg)
			args = append(args, arg)
		}
		return args, nil
	}
}

func (q *requestReader) argument(most int) (string, error) {
	n, err := q.length('$', most)
	if err != nil {
		return "", err
	}
	if n+2 > q.r.Size() {
		return q.longArgument(n)
	}
	b, err := q.r.Peek(n + 2)
	if err != nil {
		return "", err
	}
	if b[n] != '\r' || b[n+1] != '\n' {
		return "", protocolError("an argument is longer than it says")
	}
	arg := string(b[:n])
	_, err = q.r.Discard(n + 2)
	return arg, err
}

func (q *requestReader) longArgument(n int) (string, error) {
	var b strings.Builder
	if _, err := io.CopyN(&b, q.r, int64(n)); err != nil {
		return "", err
	}
	var end [2]byte
	if _, err := io.ReadFull(q.r, end[:]); err != nil {
		return "", err
	}
	if end != [2]byte{'\r', '\n'} {
		return "", protocolError("an argument is longer than it says")
	}
	return b.String(), nil
}

// length reads a line like "*3" or "$12".
func (q *requestReader) length(kind byte, most int) (int, error) {
	line, err := q.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return 0, protocolError("a length without an end")
	}
	if err != nil {
		if len(line) > 0 {
			return 0, errEarly(err)
		}
		return 0, err
	}
	digits, whole := bytes.CutSuffix(line, []byte("\r\n"))
	if !whole || len(digits) < 2 || digits[0] != kind {
		return 0, protocolError("expected '" + string(kind) + "' and a length")
	}
	n, err := parseLength(digits[1:])
	if err != nil {
		return 0, err
	}
	if n > most {
		return 0, protocolError("a length beyond " + strconv.Itoa(most))
	}
	return n, nil
}

// parseLength parses one to ten digits without a sign.
func parseLength(digits []byte) (int, error) {
	if len(digits) > 10 {
		return 0, protocolError("an invalid length")
	}
	n := 0
	for _, d := range digits {
		if d < '0' || d > '9' {
			return 0, protocolError("an invalid length")
		}
		n = n*10 + int(d-'0')
	}
	return n, nil
}

// errEarly turns io.EOF in the middle of a command into io.ErrUnexpectedEOF.
func errEarly(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// appendRequest appends a command in the form that next reads.
func appendRequest(b []byte, args []string) []byte {
	b = append(b, '*')
	b = strconv.AppendInt(b, int64(len(args)), 10)
	b = append(b, '\r', '\n')
	for _, arg := range args {
		b = append(b, '$')
		b = strconv.AppendInt(b, int64(len(arg)), 10)
		b = append(b, '\r', '\n')
		b = append(b, arg...)
		b = append(b, '\r', '\n')
	}
	return b
}
