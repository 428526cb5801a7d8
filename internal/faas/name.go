package faas

import (
	"fmt"
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
	// MaxTriggerName is how many bytes the name of a trigger may have.
	MaxTriggerName = 63
)

// Check returns "" for a good name, else what is wrong with it and how to mend it.
func (n FunctionName) Check() string { return checkLabel(string(n), maxFunctionName) }

// Check returns "" for a good name, else what is wrong with it and how to mend it.
func (n TriggerName) Check() string { return checkLabel(string(n), MaxTriggerName) }

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
			return fmt.Sprintf("%q is no DNS label; use a-z, 0-9 and inner hyphens", Clip(s))
		}
	}
	return ""
}

// InvocationID is a UUIDv7 in its canonical text form, so ids sort by creation time.
type InvocationID string
