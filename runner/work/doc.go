// Package work executes a runner's tasks: it reads the input into a fresh workspace, runs the command, collects and
// zips the result, uploads the objects that the task keeps, and publishes an event for each step. Package park receives
// the tasks from the gateways.
//
// Worker.Take takes one of the worker's slots for a Call. Call.Accept reads the body to its end, which commits the
// call. Call.Answer waits until the command has ended and returns its answer; it may be called again until a gateway
// has acknowledged the answer with Call.Ack. Start at Worker.
//
// A Call calls the parts of the work in their order: input reads what the caller sent, execution runs the command,
// findings zips the files of the result, answers returns outcome and result to each gateway that asks, and uploads
// stores the objects. record is the invocation's record; progress decides when the call is over and can be forgotten.
//
// The start process runs during the calls. If it ends with an exit code other than 0, at any time, the runner drains
// and ends: a call whose command has not started ends with start_failed, a call whose command runs goes on.
package work
