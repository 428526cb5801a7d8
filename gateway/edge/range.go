package edge

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"davit/internal/blob"
	"davit/internal/faas"
	"davit/internal/text"
)

// span is a range of bytes of an object.
type span struct {
	offset, length int64
	part           bool // the request has a Range
}

// ranged returns the span of an object that the request asks for (RFC 9110 §14): all of it, or one range. A request for
// several ranges, or for a range of another version (If-Range), gets all of it.
func (r *Request) ranged(size int64, etag string) (span, error) {
	all := span{length: size}
	header := r.Header("Range")
	unit, set, ok := strings.Cut(header, "=")
	if !ok || r.method != http.MethodGet || strings.TrimSpace(unit) != "bytes" || strings.Contains(set, ",") {
		return all, nil
	}
	if then := r.Header("If-Range"); then != "" && then != etag {
		return all, nil
	}
	first, last, ok := strings.Cut(strings.TrimSpace(set), "-")
	if !ok {
		return all, nil
	}
	s, ok, err := spanOf(first, last, size)
	if err != nil {
		return all, nil //nolint:nilerr // a malformed Range is ignored
	}
	if !ok {
		r.Set("Content-Range", fmt.Sprintf("bytes */%d", size))
		return all, withStatus(http.StatusRequestedRangeNotSatisfiable, "The range is not there", faas.Invalid,
			fmt.Sprintf("the range %q is outside of the %d bytes that there are", text.Clip(set, 60), size))
	}
	return s, nil
}

// spanOf parses "first-last", "first-" or "-length". ok is false when the object has no such bytes.
func spanOf(first, last string, size int64) (s span, ok bool, err error) {
	if first == "" {
		n, err := strconv.ParseUint(last, 10, 63)
		if err != nil {
			return s, false, err
		}
		length := min(int64(n), size)
		return span{size - length, length, true}, length > 0, nil
	}
	from, err := strconv.ParseUint(first, 10, 63)
	if err != nil {
		return s, false, err
	}
	to := uint64(1<<63 - 1)
	if last != "" {
		if to, err = strconv.ParseUint(last, 10, 63); err != nil {
			return s, false, err
		}
		if to < from {
			return s, false, strconv.ErrRange
		}
	}
	offset, end := int64(from), min(int64(to), size-1)
	return span{offset, end - offset + 1, true}, offset < size, nil
}

// SendRange answers with the part of an object that the request asks for, or with all of it. open opens a part of the
// object, which has size bytes and the ETag etag.
func (r *Request) SendRange(size int64, etag string, open blob.Opener) error {
	s, err := r.ranged(size, etag)
	if err != nil {
		return err
	}
	r.Set("Accept-Ranges", "bytes")
	status := http.StatusOK
	if s.part {
		status = http.StatusPartialContent
		r.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", s.offset, s.offset+s.length-1, size))
	}
	if r.method == http.MethodHead {
		r.Stream(status, http.NoBody, s.length)
		return nil
	}
	body, err := open(s.offset, s.length)
	if err != nil {
		return err
	}
	r.Stream(status, body, s.length)
	return nil
}
