// Package dispatch is the use case at Davit's heart: request → invocation →
// outcome. It queues calls within bounds, gets each a slot in the way its mode
// says, hands the task to a runner, answers the caller, and settles the record
// of every invocation exactly once.
//
// It does not know HTTP, Redis or Kubernetes; what it needs of them it declares
// as small interfaces in ports.go. Start at Dispatcher.Call, which shows one
// call on one screen; what happens to invocations that no caller waits for is
// in accept.go, what happens when things die in adopt.go, and how many runners
// are kept, which one gateway decides for all, in scale.go and leader.go.
package dispatch
