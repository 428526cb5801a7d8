package faas

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/google/uuid"
)

// FunctionName is chosen by a user: a DNS label of at most 40 characters.
type FunctionName string

// TriggerName is chosen by a user: a DNS label of at most 63 characters.
type TriggerName string

// RunnerID names one runner process; launchers make it.
type RunnerID string

// GatewayID names one gateway process.
type GatewayID string

// RevisionNumber counts a function's revisions from 1.
type RevisionNumber int

// RevisionRef points at one revision of one function.
type RevisionRef struct {
	Function FunctionName   `json:"function"`
	Number   RevisionNumber `json:"revision"`
}

// String returns "name@number".
func (r RevisionRef) String() string { return fmt.Sprintf("%s@%d", r.Function, r.Number) }

const (
	maxFunctionName = 40
	maxTriggerName  = 63
)

// Check returns "" for a good name, else what is wrong with it and how to mend it.
func (n FunctionName) Check() string { return checkLabel(string(n), maxFunctionName) }

// Check returns "" for a good name, else what is wrong with it and how to mend it.
func (n TriggerName) Check() string { return checkLabel(string(n), maxTriggerName) }

func checkLabel(s string, most int) string {
	switch {
	case s == "":
		return "is empty; give a name such as \"resize-image\""
	case len(s) > most:
		return fmt.Sprintf("has %d characters; at most %d are allowed", len(s), most)
	}
	for i := range len(s) {
		c := s[i]
		inner := i > 0 && i < len(s)-1
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
		case c == '-' && inner:
		default:
			return fmt.Sprintf("%q is no DNS label; use a-z, 0-9 and inner hyphens", clip(s))
		}
	}
	return ""
}

// clip shortens what a message quotes.
func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// InvocationID is a UUIDv7 in its canonical text form, so ids sort by creation time.
type InvocationID string

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
		return "", &Error{Kind: NotFound, Detail: fmt.Sprintf("no invocation %q: ids look like 01912d68-783e-7a0a-9d5c-6d0c5e5f3a11", clip(s))}
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
