package blob

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxKeyBytes     = 1024
	maxSegmentBytes = 255 // what file systems, and MinIO on them, can name
)

// Key names an object: segments separated by slashes, at most 1024 bytes of UTF-8. No segment is empty,
// ".", ".." or longer than 255 bytes, there are no control characters, and not all of it is white space.
// Keys differ when their bytes do.
//
// A key must not be a folder of another: where "a/b" is used, "a" must not be. A store may refuse the
// second with ErrInvalidKey, or not list one of them.
type Key string

// Validate is nil if the key keeps the rules of Key, and ErrInvalidKey with the reason otherwise.
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

// validatePrefix refuses prefixes with which no key can begin, and those that end in a dot segment, which
// servers take for climbing.
func validatePrefix(prefix string) error {
	if prefix == "" {
		return nil
	}
	if err := Key(strings.TrimSuffix(prefix, "/")).Validate(); err != nil {
		return fmt.Errorf("prefix %s: %w", quote(prefix), err)
	}
	return nil
}

// quote makes a key safe to print, and short.
func quote(s string) string {
	const most = 200
	if len(s) > most {
		return fmt.Sprintf("%q…", s[:most])
	}
	return fmt.Sprintf("%q", s)
}
