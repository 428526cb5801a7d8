package text

import "testing"

func TestClip(t *testing.T) {
	for _, c := range []struct{ s, want string }{
		{"", ""},
		{"abcd", "abcd"},
		{"abcde", "abcd…"},
		{"abcö", "abc…"},                      // ö is two bytes
		{"ab€d", "ab…"},                       // € is three
		{"a😀b", "a…"},                         // 😀 is four
		{"😀😀", "😀…"},                          // and ends just where the limit is
		{"ab\x80\x80\x80\x80", "ab\x80\x80…"}, // no characters at all
	} {
		if got := Clip(c.s, 4); got != c.want {
			t.Errorf("Clip(%q, 4) = %q, want %q", c.s, got, c.want)
		}
	}
	if got := Clip("abc", 0); got != "…" {
		t.Errorf("Clip to nothing = %q", got)
	}
}
