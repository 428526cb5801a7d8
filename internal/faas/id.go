package faas

import (
	"fmt"
	"regexp"
	"time"

	"github.com/google/uuid"
)

var canonicalUUID = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

// NewInvocationID returns a fresh id. It fails only when the system has no randomness.
func NewInvocationID() (InvocationID, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return "", fmt.Errorf("make invocation id: %w", err)
	}
	return InvocationID(id.String()), nil
}

// ParseInvocationID accepts the canonical text form only, so that an id has one spelling.
func ParseInvocationID(s string) (InvocationID, error) {
	if !canonicalUUID.MatchString(s) {
		return "", &Error{Kind: NotFound, Detail: fmt.Sprintf("no invocation %q: ids look like 01912d68-783e-7a0a-9d5c-6d0c5e5f3a11", Clip(s))}
	}
	return InvocationID(s), nil
}

// CreatedAt is when the id was made, to the millisecond, as a UUIDv7 tells; zero for another UUID.
func (id InvocationID) CreatedAt() time.Time {
	u, err := uuid.Parse(string(id))
	if err != nil || u.Version() != 7 {
		return time.Time{}
	}
	ms := int64(u[0])<<40 | int64(u[1])<<32 | int64(u[2])<<24 | int64(u[3])<<16 | int64(u[4])<<8 | int64(u[5])
	return time.UnixMilli(ms)
}
