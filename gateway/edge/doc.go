// Package edge serves HTTP/1.1 on one listener. It is the only package that uses Fiber and fasthttp, and no type and no
// borrowed string of either leaves it: handlers get a Request and return errors.
//
// Between the socket and fasthttp there is a connection of this package (conn.go). It returns only headers to fasthttp,
// and leaves bodies to the handlers: a body is not read before a handler reads it, each read and write has a deadline,
// and the context of a request ends when its caller hangs up.
//
// The package refuses a request that cannot be parsed, an unknown path and a body that is too large. The error is a
// *faas.Error, or a *StatusError if HTTP has a specific status. Options.Fault answers all errors.
//
// Start at New, Server.Handle and Request.
package edge
