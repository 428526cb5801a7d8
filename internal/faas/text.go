package faas

import "davit/internal/text"

// Clip shortens what a message quotes to about 80 bytes.
func Clip(s string) string {
	const most = 80
	return text.Clip(s, most)
}
