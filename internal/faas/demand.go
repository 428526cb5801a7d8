package faas

// Demand is what one gateway wants of a revision's standby and warm runners.
type Demand struct {
	Function FunctionName   `json:"function"`
	Revision RevisionNumber `json:"revision"`
	Waiting  int            `json:"waiting,omitempty"` // calls that wait for a warm slot
	Jobs     int            `json:"jobs,omitempty"`    // calls that started a job because no standby was free
	Pins     int            `json:"keepers,omitempty"` // registrations that wait for its first runner
	Rate     float64        `json:"rate,omitempty"`    // calls a second that take standby slots
	Of       *Revision      `json:"of,omitempty"`      // the revision itself, unless it is live there
}

// Ref returns the revision's address.
func (d *Demand) Ref() RevisionRef { return RevisionRef{Function: d.Function, Number: d.Revision} }

// Share is how many of all runners a function has, where all are bounded.
type Share struct {
	Function FunctionName
	Runners  int
	Refused  bool // it was just refused one
}
