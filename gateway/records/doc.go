// Package records reads what invocations left: records and lists from Redis, results, inputs and logs from the object
// store or from the runner, and signs the URLs of multipart uploads. It also removes what has outlived its retention.
//
// A call that this gateway leads is read from memory, so that a reader never sees less than the caller was answered.
// The package never changes an invocation that is still running. Start at Reader.Find.
package records
