package hub

import (
	"davit/gateway/faas"
	"davit/internal/task"
)

// Counts are the slots of one revision and start.
type Counts struct {
	Runners int // connected
	Free    int // slots that a claim would get
	Busy    int // slots that are taken, by whichever gateway
}

// Status is what the hub knows of one runner.
type Status struct {
	Hello    task.Hello // without Held
	Free     int
	Busy     int
	Draining bool
	Held     []faas.InvocationID // sorted
}

// Slots counts a revision's slots by the start of their runners.
func (h *Hub) Slots(_ faas.RevisionRef) map[faas.Start]Counts { return nil }

// Runners returns the connected runners, sorted by id.
func (h *Hub) Runners() []Status { return nil }
