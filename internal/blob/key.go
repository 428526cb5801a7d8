package blob

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxKeyBytes     = 1024
	maxSegmentBytes = 255 // the longest name on file systems, also on those below MinIO
)

// Key names an object: segments separated by slashes, at most 1024 bytes of UTF-8. No segment is empty, ".", ".." or
// longer than 255 bytes. A key has no control characters, and is not white space only. Keys are equal if their bytes
// are.
//
// A key must not be a folder of another key: where "a/b" is used, "a" must not be used. A store may refuse the second
// with ErrInvalidKey, or not list one of them.
type Key string

// Validate returns nil if the key keeps the rules of Key, and ErrInvalidKey with the reason otherwise.
func (k Key) Validate() error {
	if why := k.fault(); why != "" {
		return fmt.Errorf("%w %s: %s", ErrInvalidKey, quote(string(k)), why)
	}
	return nil
}

func (k Key) fault() string {
	switch {
	case k == "":
		return "it is empty"
	case len(k) > maxKeyBytes:
		return fmt.Sprintf("it is longer than %d bytes", maxKeyBytes)
	case !utf8.ValidString(string(k)):
		return "it is not UTF-8"
	case strings.ContainsFunc(string(k), unicode.IsControl):
		return "it has control characters"
	case strings.TrimSpace(string(k)) == "":
		return "it is only white space"
	}
	for segment := range strings.SplitSeq(string(k), "/") {
		switch {
		case segment == "":
			return "a segment is empty"
		case segment == "." || segment == "..":
			return "a segment is . or .."
		case len(segment) > maxSegmentBytes:
			return fmt.Sprintf("a segment is longer than %d bytes", maxSegmentBytes)
		}
	}
	return ""
}

// validatePrefix refuses a prefix with which no key can begin, and a prefix that ends in a dot segment, because servers
// resolve it.
func validatePrefix(prefix string) error {
	if prefix == "" {
		return nil
	}
	if err := Key(strings.TrimSuffix(prefix, "/")).Validate(); err != nil {
		return fmt.Errorf("prefix %s: %w", quote(prefix), err)
	}
	return nil
}

// quote escapes a key for messages and cuts it to 200 bytes.
func quote(s string) string {
	const most = 200
	if len(s) > most {
		return fmt.Sprintf("%q…", s[:most])
	}
	return fmt.Sprintf("%q", s)
}
