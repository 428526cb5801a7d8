package task

import "davit/internal/faas"

// EventKind says what has happened.
type EventKind string

// The kinds of events. Every event has Free, the number of the runner's free slots after it. The runner may leave out
// taken and running if it sends with them a later event of the same invocation, which implies them.
const (
	EventSlots       EventKind = "slots"        // nothing but Free changed; also the first event, and one every 5 s
	EventTaken       EventKind = "taken"        // Invocation has a slot
	EventReleased    EventKind = "released"     // Invocation's slot was released before the commit; the command did not run
	EventRunning     EventKind = "running"      // the body is complete and the command starts; Record, except to the gateway that leads it
	EventInputStored EventKind = "input_stored" // Invocation's input is in the store; Input
	EventEnded       EventKind = "ended"        // the outcome is complete, the result is in the runner's scratch files; Outcome
	EventStored      EventKind = "stored"       // the uploads of input, result and log are over; Outcome says which are in the store
	EventStartFailed EventKind = "start_failed" // the start process failed; Detail; the runner ends
	EventDraining    EventKind = "draining"     // the runner takes no more invocations; Detail says why
)

// Event is one line of GET /events. Seq counts from 1 on each runner.
type Event struct {
	Seq        int64             `json:"seq"`
	Kind       EventKind         `json:"kind"`
	Free       int               `json:"free"`
	Invocation faas.InvocationID `json:"invocation,omitempty"`
	Record     *faas.Invocation  `json:"record,omitempty"`
	Input      *faas.Input       `json:"input,omitempty"`
	Outcome    *Outcome          `json:"outcome,omitempty"`
	Detail     string            `json:"detail,omitempty"`
	LogTail    string            `json:"log_tail,omitempty"`

	// Owned, with EventSlots, are all invocations that the runner owns; nil: unknown.
	Owned []faas.InvocationID `json:"held,omitzero"`
}
