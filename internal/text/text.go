// Package text shortens what messages quote.
package text

import "unicode/utf8"

// Clip returns s, or, where s is longer than most bytes, its beginning of at most so many bytes and "…". It never cuts
// a character in half; bytes of s that are no UTF-8 stay as they are.
func Clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	end := most
	for start := most - 1; start >= max(most-utf8.UTFMax+1, 0); start-- {
		if !utf8.RuneStart(s[start]) {
			continue
		}
		if _, size := utf8.DecodeRuneInString(s[start:]); start+size > most {
			end = start
		}
		break
	}
	return s[:end] + "…"
}
