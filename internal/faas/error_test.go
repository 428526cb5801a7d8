package faas

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

// TestUnavailable: which errors of a part of Davit reach users as they are, and which make the part unavailable.
func TestUnavailable(t *testing.T) {
	broken := errors.New("broken")
	for _, c := range []struct {
		name         string
		err          error
		or, internal Kind
	}{
		{"an error of another package", broken, Unavailable, Unavailable},
		{"an Internal error", &Error{Kind: Internal, Err: broken}, Internal, Unavailable},
		{"an error that users may read", fmt.Errorf("more: %w", &Error{Kind: Conflict, Err: broken}), Conflict, Conflict},
	} {
		for what, got := range map[Kind]*Error{
			c.or:       OrUnavailable(c.err, "it is away", time.Second),
			c.internal: InternalUnavailable(c.err, "it is away", time.Second),
		} {
			if got.Kind != what || !errors.Is(got, broken) {
				t.Errorf("%s: %v of kind %s, want %s", c.name, got, got.Kind, what)
			}
			if got.Kind == Unavailable && (got.Detail != "it is away" || got.RetryAfter != time.Second) {
				t.Errorf("%s: %+v", c.name, got)
			}
		}
	}
}
