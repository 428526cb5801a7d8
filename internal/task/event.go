package task

import "davit/internal/faas"

// EventKind is what an event tells.
type EventKind string

// The kinds of events. Each carries Free, the runner's free slots after it. Taken and
// running may be left out when a later one goes out with them that says as much.
const (
	EventSlots       EventKind = "slots"        // nothing else changed; also the first event, and one each 5 s
	EventTaken       EventKind = "taken"        // Invocation has a slot
	EventReleased    EventKind = "released"     // Invocation was given back before its commit; it did not run
	EventRunning     EventKind = "running"      // the body was complete; the command starts; Record, but for the gateway that leads it
	EventInputStored EventKind = "input_stored" // Invocation's input is in the store; Input
	EventEnded       EventKind = "ended"        // the outcome is complete, the result on the runner's scratch; Outcome
	EventStored      EventKind = "stored"       // input, result and log are in the store, or could not be; Outcome tells
	EventStartFailed EventKind = "start_failed" // the start process failed; Detail; the runner goes
	EventDraining    EventKind = "draining"     // takes no more; Detail tells why
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

	// Held, with EventSlots, are all that the runner holds; nil: not told.
	Held []faas.InvocationID `json:"held,omitzero"`
}
