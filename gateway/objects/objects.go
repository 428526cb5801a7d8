// Package objects names what invocations leave in the object store: the input of an invocation once, result, log and
// outcome for each attempt, so that an earlier attempt never overwrites a later one.
package objects

import (
	"fmt"
	"time"

	"davit/internal/blob"
	"davit/internal/faas"
)

// Input is the key of the caller's raw body.
func Input(id faas.InvocationID) blob.Key { return blob.Key(Prefix(id) + "input") }

// Result is the key of an attempt's zip.
func Result(id faas.InvocationID, attempt int) blob.Key { return ofAttempt(id, attempt, "result.zip") }

// Log is the key of an attempt's stdout and stderr.
func Log(id faas.InvocationID, attempt int) blob.Key { return ofAttempt(id, attempt, "log") }

// Outcome is the key of what the runner reports of an attempt's end.
func Outcome(id faas.InvocationID, attempt int) blob.Key {
	return ofAttempt(id, attempt, "outcome.json")
}

// Prefix begins the keys of an invocation, and of no other.
func Prefix(id faas.InvocationID) string { return "invocations/" + string(id) + "/" }

func ofAttempt(id faas.InvocationID, attempt int, name string) blob.Key {
	return blob.Key(fmt.Sprintf("%s%d/%s", Prefix(id), attempt, name))
}

// signedExtra is how much longer than its deadline an invocation's URLs are valid.
const signedExtra = 5 * time.Minute

// SignedFor is how long the signed URLs of an invocation are valid: its command's timeout, the grace in which its
// runner may be out of touch, and some minutes to upload.
func SignedFor(grace time.Duration, timeout faas.Duration) time.Duration {
	return grace + timeout.Std() + signedExtra
}
