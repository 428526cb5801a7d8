package hub

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"davit/internal/faas"
	"davit/internal/task"
)

// Answer is an outcome and the result that goes with it.
type Answer struct {
	Outcome  task.Outcome
	Kind     string // of Body: "zip" or "file"; "" when there is none
	Filename string // with "file": a base name, otherwise as the command chose it
	// Body is never nil. A Read returns EOF only if size and SHA-256 are those that the runner sent, else
	// io.ErrUnexpectedEOF. When Body has been read to its end, the connection is free for the next call. Close before
	// that closes the connection, and leaves the invocation alone. Close may be called at any time.
	Body io.ReadCloser
}

const maxFilename = 1024

// newAnswer reads an answer's head. The answer calls finish once: with true when the whole body was read, with false
// when the connection cannot be used again.
func newAnswer(resp *http.Response, runner faas.RunnerID, finish func(whole bool)) (*Answer, error) {
	a, err := parseAnswer(resp)
	if err != nil {
		finish(false)
		return nil, err
	}
	a.Outcome.Runner = runner
	if a.Kind == "" {
		finish(true)
		a.Body = http.NoBody
		return a, nil
	}
	a.Body = &verified{resp: resp, sum: sha256.New(), finish: finish}
	return a, nil
}

func parseAnswer(resp *http.Response) (*Answer, error) {
	outcome, err := task.ParseOutcome(resp.Header.Get(task.HeaderOutcome))
	if err != nil {
		return nil, err
	}
	a := &Answer{Outcome: outcome, Kind: resp.Header.Get(task.HeaderBody)}
	switch a.Kind {
	case "":
		if resp.ContentLength != 0 {
			return nil, errors.New("the answer has a body and no " + task.HeaderBody)
		}
	case "zip":
	case "file":
		a.Filename, err = url.PathUnescape(resp.Header.Get(task.HeaderFilename))
		if err != nil || a.Filename == "" || len(a.Filename) > maxFilename || strings.ContainsAny(a.Filename, "/\x00") {
			return nil, fmt.Errorf("%s of the answer is no file name", task.HeaderFilename)
		}
	default:
		return nil, fmt.Errorf("%s of the answer is %.20q", task.HeaderBody, a.Kind)
	}
	return a, nil
}

// verified is a result that returns EOF only when it is whole.
type verified struct {
	resp   *http.Response
	sum    hash.Hash
	size   int64
	err    error // that reading ended with
	once   sync.Once
	finish func(whole bool)
}

// Read reads the result.
func (v *verified) Read(p []byte) (int, error) {
	if v.err != nil {
		return 0, v.err
	}
	n, err := v.resp.Body.Read(p)
	v.size += int64(n)
	_, _ = v.sum.Write(p[:n])
	if err == nil {
		return n, nil
	}
	if err == io.EOF && v.whole() {
		v.err = io.EOF
		v.once.Do(func() { v.finish(true) })
		return n, io.EOF
	}
	v.err = fmt.Errorf("read result: %w", io.ErrUnexpectedEOF)
	if err != io.EOF {
		v.err = fmt.Errorf("read result: %w: %w", io.ErrUnexpectedEOF, err)
	}
	_ = v.Close()
	return n, v.err
}

// Close closes the connection unless the result was read to its end.
func (v *verified) Close() error {
	v.once.Do(func() { v.finish(false) })
	return nil
}

func (v *verified) whole() bool {
	return v.resp.Trailer.Get(task.HeaderSize) == strconv.FormatInt(v.size, 10) &&
		v.resp.Trailer.Get(task.HeaderSHA256) == hex.EncodeToString(v.sum.Sum(nil))
}
