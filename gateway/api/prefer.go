package api

import (
	"strconv"
	"strings"
	"time"

	"davit/internal/faas"
)

// readPrefer parses the Prefer header (RFC 7240). The first of two equal preferences counts; unknown and malformed
// preferences are ignored.
func readPrefer(lines []string) (async bool, wait *time.Duration) {
	for _, line := range lines {
		for preference := range splitOutsideQuotes(line, ',') {
			name, value := readPreference(preference)
			switch {
			case name == "respond-async":
				async = true
			case name == "wait" && wait == nil:
				wait = readSeconds(value)
			}
		}
	}
	return async, wait
}

// mostPreferredWait, in seconds, bounds a preferred wait, because a longer one could overflow a time.Duration.
const mostPreferredWait = 7 * 24 * 60 * 60

func readSeconds(v string) *time.Duration {
	n, err := strconv.ParseUint(v, 10, 63)
	if err != nil {
		return nil
	}
	wait := time.Duration(min(n, mostPreferredWait)) * time.Second
	return &wait
}

// readPreference parses name=value, and ignores the parameters after it.
func readPreference(s string) (name, value string) {
	for part := range splitOutsideQuotes(s, ';') {
		name, value, _ = strings.Cut(part, "=")
		break
	}
	value = strings.TrimSpace(value)
	if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
		value = value[1 : len(value)-1]
	}
	return strings.ToLower(strings.TrimSpace(name)), value
}

// splitOutsideQuotes yields the parts of s between separators that are in no quoted string.
func splitOutsideQuotes(s string, separator byte) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		quoted, start := false, 0
		for i := 0; i < len(s); i++ {
			switch {
			case quoted && s[i] == '\\':
				i++
			case s[i] == '"':
				quoted = !quoted
			case s[i] == separator && !quoted:
				if !yield(s[start:i]) {
					return
				}
				start = i + 1
			}
		}
		yield(s[start:])
	}
}

// preferenceApplied returns the preference that led to the 202, or "".
func preferenceApplied(call *faas.Call) string {
	switch {
	case call.Async:
		return "respond-async"
	case call.Wait != nil:
		return "wait=" + strconv.FormatInt(int64(*call.Wait/time.Second), 10)
	}
	return ""
}
