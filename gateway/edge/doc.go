// Package edge serves HTTP/1.1 on one listener. It is the only package that uses Fiber and fasthttp, and no type and no
// borrowed string of either leaves it: handlers get a Request and return errors.
//
// Below Fiber and fasthttp lies a connection of our own (conn.go). It gives fasthttp headers only and keeps the bodies of
// requests, so that a body is read when a handler reads it and not before, each read and write has a deadline, and the
// context of a request ends when its caller hangs up.
//
// What the package refuses itself (a request that cannot be parsed, an unknown path, a body that is too large) is a
// *faas.Error, or a *StatusError where HTTP has a status of its own. How errors are answered is the business of
// Options.Fault.
//
// Start at New, Server.Handle and Request.
package edge
