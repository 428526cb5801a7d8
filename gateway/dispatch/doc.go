// Package dispatch runs one call from the request to the settled record: it pins the revision, claims a slot, sends the
// task, answers the caller, and writes the record exactly once.
//
// A call that finds a parked slot costs no round trip to Redis or the store before the first byte of its result. A call
// that finds none waits in the function's bounded queue while a runner is started for it; a call that outlives its wait
// budget is accepted: input and record are stored, then the caller gets a 202, and this gateway leads the invocation
// under a lease.
//
// How many standby and warm runners there are is package fleet's, what follows when a gateway or a runner dies is
// package recovery's, what people read later is package records'. Start at Dispatcher.Call; the life of a call is the
// table in state.go.
package dispatch
