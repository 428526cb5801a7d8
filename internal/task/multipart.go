package task

import "davit/internal/faas"

// PathParts + id is served by gateways to runners, with the token and HeaderRevision
// as on PathPark. POST PartsWanted is answered with Parts, and POST PartsDone to
// + "/done" with 204 once the object is there, whole. 404 says that this gateway does
// not know the runner to hold that invocation (yet), 409 that it will never be done;
// after other answers it may be asked again, here or at another gateway.
const PathParts = "/parts/"

// PartObject is which of an invocation's objects is uploaded in parts.
type PartObject string

// The objects that a runner uploads.
const (
	PartInput  PartObject = "input"
	PartResult PartObject = "result"
	PartLog    PartObject = "log"
)

// PartsWanted asks for the URLs of an object that is too large for one PUT.
type PartsWanted struct {
	Object  PartObject    `json:"object"`
	Attempt int           `json:"attempt"`
	Size    int64         `json:"size"`
	For     faas.Duration `json:"for"` // how long the URLs are to live
}

// Parts are where the parts go, one after the other: all have PartBytes, the last
// what is left. Without URLs, one PUT has no limit here.
type Parts struct {
	Upload    string   `json:"upload,omitempty"`
	PartBytes int64    `json:"part_bytes,omitempty"`
	URLs      []string `json:"urls,omitempty"`
}

// PartsDone makes the object of its parts.
type PartsDone struct {
	Object  PartObject `json:"object"`
	Attempt int        `json:"attempt"`
	Size    int64      `json:"size"`
	Upload  string     `json:"upload"`
	ETags   []string   `json:"etags"` // as the store answered each part
}

// MaxParts is the most bytes that any of these may have as JSON.
const MaxParts = 8 << 20
