// Package faas is the vocabulary of Davit: functions, revisions, triggers, invocations, their reasons and errors, and
// the values that packages hand to one another. It does no I/O, reads no clock and imports nothing of Davit's but
// internal/text, so that every other package can use its words. Start at Invocation, which everything else exists for.
//
// Package spec reads and checks what users write, package route finds the trigger that a request is for.
package faas
