// Package api serves the console and its API on one listener, and the triggers
// on another. It reads requests, checks access, calls the use cases and answers;
// HTTP itself is the work of package edge.
//
// It decides nothing about functions, triggers or invocations: what it needs of
// the use cases it declares as small interfaces in ports.go. Handlers return
// errors, and answerer.answer, the one place that turns an error into an answer,
// writes them as problems (RFC 9457).
//
// Start at NewConsole and NewTriggers; openapi.yaml describes what they serve.
package api
