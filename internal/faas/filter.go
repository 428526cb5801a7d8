package faas

import "time"

// InvocationFilter selects invocations for a list, newest first. A zero member selects all.
type InvocationFilter struct {
	Function FunctionName
	Trigger  TriggerName
	State    State
	Since    time.Time // accepted at this instant or later
	Limit    int       // at most so many; 0: as many as the list gives by default
	Cursor   string    // of the page before; "" begins at the newest
}
