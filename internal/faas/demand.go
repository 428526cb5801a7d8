package faas

// Demand is what one gateway wants of the runners of a revision that are kept.
type Demand struct {
	Function FunctionName   `json:"function"`
	Revision RevisionNumber `json:"revision"`
	Waiting  int            `json:"waiting,omitempty"` // calls that wait for a warm slot
	Jobs     int            `json:"jobs,omitempty"`    // calls that wait for a standby slot beside a Job of their own
	Keepers  int            `json:"keepers,omitempty"` // that are about to make it live
	Rate     float64        `json:"rate,omitempty"`    // calls a second that take standby slots
	Of       *Revision      `json:"of,omitempty"`      // itself, unless it is live there
}

// Ref returns the revision's address.
func (d *Demand) Ref() RevisionRef { return RevisionRef{Function: d.Function, Number: d.Revision} }

// Share is what a function has of all runners, where these are bounded.
type Share struct {
	Function FunctionName
	Runners  int
	Wishes   bool // it was refused one just now
}
