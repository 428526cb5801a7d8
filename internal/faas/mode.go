package faas

import "encoding/json"

// Mode says how calls of a function get their slot: a Job each, or warm runners. A trigger or a call may also ask for
// standby, which is stricter than warm.
type Mode string

// The modes, from loose to strict.
const (
	ModeWarm    Mode = "warm"
	ModeStandby Mode = "standby"
	ModeJob     Mode = "job"
)

func (m Mode) strictness() int {
	switch m {
	case ModeWarm:
		return 1
	case ModeStandby:
		return 2
	case ModeJob:
		return 3
	}
	return 0
}

// Known reports whether m is one of the modes.
func (m Mode) Known() bool { return m.strictness() > 0 }

// StricterThan reports whether m isolates calls more than other does.
func (m Mode) StricterThan(other Mode) bool { return m.strictness() > other.strictness() }

// Start tells how an invocation got its slot.
type Start string

// The ways to get a slot.
const (
	StartJob     Start = "job"
	StartStandby Start = "standby"
	StartWarm    Start = "warm"
)

// MarshalJSON makes the start of what has none yet null.
func (s Start) MarshalJSON() ([]byte, error) {
	if s == "" {
		return []byte("null"), nil
	}
	return json.Marshal(string(s))
}
