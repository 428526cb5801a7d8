package task

import "davit/internal/faas"

// PathParts + id is a path that gateways serve to runners, with the token and HeaderRevision as on PathPark. The answer
// to POST PartsWanted is Parts. The answer to POST PartsDone, at
// + "/done", is 204 once the object is in the store, whole. 404 says that this gateway does
// not know, or not yet, that the runner owns that invocation; 409 refuses for good; after
// any other answer the runner may try again, at this or another gateway.
const PathParts = "/parts/"

// PartObject is the object of an invocation that is uploaded in parts.
type PartObject string

// The objects that a runner uploads.
const (
	PartInput  PartObject = "input"
	PartResult PartObject = "result"
	PartLog    PartObject = "log"
)

// PartsWanted requests the URLs for an object that is too large for one PUT.
type PartsWanted struct {
	Object  PartObject    `json:"object"`
	Attempt int           `json:"attempt"`
	Size    int64         `json:"size"`
	For     faas.Duration `json:"for"` // how long the URLs must be valid
}

// Parts has one URL for each part, in order. All parts have PartBytes; the last has the rest. No URLs means that the
// store takes the object in one PUT.
type Parts struct {
	Upload    string   `json:"upload,omitempty"`
	PartBytes int64    `json:"part_bytes,omitempty"`
	URLs      []string `json:"urls,omitempty"`
}

// PartsDone requests that the gateway joins the parts to the object.
type PartsDone struct {
	Object  PartObject `json:"object"`
	Attempt int        `json:"attempt"`
	Size    int64      `json:"size"`
	Upload  string     `json:"upload"`
	ETags   []string   `json:"etags"` // of the store's answers, one for each part
}

// MaxParts is how many bytes each of these messages may have as JSON.
const MaxParts = 8 << 20
