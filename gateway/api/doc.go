// Package api serves the console and its API on one listener, and the triggers on another. The package reads requests,
// checks access, calls the use cases and answers; package edge implements HTTP.
//
// The package makes no decision about functions, triggers or invocations: the use cases do, through the small
// interfaces in ports.go. Handlers return errors, and answerer.answer alone turns an error into an answer, a problem
// (RFC 9457).
//
// Start at NewConsole and NewTriggers; openapi.yaml describes what they serve.
package api
