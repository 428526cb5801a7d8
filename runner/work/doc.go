// Package work is what a runner does with the tasks that it is given: it reads
// the input into a fresh workspace, runs the command, collects and zips the
// result, stores what is to be kept, and tells what happens as events. It does
// not know where tasks come from: package park brings them.
//
// A Worker has so many slots; Take takes one for a Call. A call reads its body
// to the end (Accept), which commits it; its answer (Answer) is there when the
// command has ended, and can be asked for again until a gateway has acknowledged
// it (Ack). Start at Worker.
//
// The start process runs beside the calls. When it ends with another code than 0,
// at any time, the runner drains and goes: calls that have not started their command
// end with start_failed, those that have go on.
package work
