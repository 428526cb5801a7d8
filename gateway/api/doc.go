// Package api is Davit's HTTP edge: the console and its API on one listener,
// the triggers on another. It reads requests, checks access, asks the use cases
// and answers; it is the only package that knows Fiber, and no Fiber type
// leaves it.
//
// It decides nothing about functions, triggers or invocations: what it needs of
// the use cases it declares as small interfaces in ports.go. Handlers return
// errors, and answerError, the one place that turns an error into an answer,
// writes them as problems (RFC 9457).
//
// Below Fiber and fasthttp lies a connection of our own (conn.go): it hands
// fasthttp headers only and keeps the request bodies to itself, so that a body
// is read when, and only when, somebody wants it, each read and write has its
// deadline, and a caller who hangs up is noticed.
//
// Start at NewConsole and NewTriggers; openapi.yaml describes what they serve.
package api
