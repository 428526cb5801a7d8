package records

import (
	"time"

	"davit/internal/faas"
)

const (
	youngFor    = 5 * time.Second        // an upload of an invocation this young may still be under way
	youngPoll   = 25 * time.Millisecond  // how often an upload under way is looked for
	waitPoll    = 500 * time.Millisecond // for records that another gateway leads
	settleSoon  = 2 * time.Second        // within which an answered call is settled
	settleBrief = 150 * time.Millisecond // within which other gateways learn of an end
	uploadWait  = 30 * time.Second       // for an upload under way
	logPoll     = 100 * time.Millisecond // for a log that is not there yet
	storeAgain  = 5 * time.Second        // when a store that is unavailable is worth another try
)

// Reader reads invocations. Its methods may be used by many goroutines at once.
type Reader struct{ o Options }

func unavailable(detail string, err error) error {
	return faas.InternalUnavailable(err, detail, storeAgain)
}
