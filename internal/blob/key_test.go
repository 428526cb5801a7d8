package blob_test

import (
	"errors"
	"path"
	"strings"
	"testing"
	"unicode"

	"davit/internal/blob"
)

func TestInvalidKeySaysWhy(t *testing.T) {
	for key, want := range map[blob.Key]string{
		"":                                 `invalid object key "": it is empty`,
		"a/../b":                           `invalid object key "a/../b": a segment is . or ..`,
		"a\x1b[31m":                        `invalid object key "a\x1b[31m": it has control characters`,
		"a//b":                             `invalid object key "a//b": a segment is empty`,
		blob.Key(strings.Repeat("a", 256)): `: a segment is longer than 255 bytes`,
	} {
		err := key.Validate()
		if err == nil || !strings.HasSuffix(err.Error(), want) || len(err.Error()) > 300 {
			t.Errorf("%.20q: got %v, want %s", key, err, want)
		}
	}
}

func FuzzKey(f *testing.F) {
	for _, seed := range []string{"a", "a/b", "../a", "a/./b", "/", "\x00", "é", "\xff", " "} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		err := blob.Key(s).Validate()
		if err != nil {
			if !errors.Is(err, blob.ErrInvalidKey) || strings.ContainsFunc(err.Error(), unicode.IsControl) {
				t.Errorf("%q: %q", s, err)
			}
			return
		}
		if path.Clean("/"+s) != "/"+s || len(s) > 1024 || strings.ContainsRune(s, 0) {
			t.Errorf("%q was accepted as a key", s)
		}
	})
}
