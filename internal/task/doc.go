// Package task is the contract between gateway and runner: what a runner says
// when it dials in, the task it is given, the events it sends and the outcome
// it reports. Both programs import it; its JSON is pinned by golden files, so
// that releases N and N-1 understand each other (unknown members are ignored,
// members are only added).
//
// # Dialling in
//
// A runner opens TCP connections to every gateway's runner listener. On each it
// sends one HTTP/1.1 request, POST /park with "Upgrade: davit/1", its token as
// Authorization: Bearer, HeaderRevision, HeaderLinkKind and a Hello as JSON, and
// waits for 101 Switching Protocols. Other answers are refusals: 400, 401 and 403
// say that this runner will never be let in, 409 that it is connected to that
// gateway already (HeaderLinked), all others that it may try again. After the 101
// the roles are reversed: the gateway is the client.
//
// # A slot's connection
//
// It speaks HTTP/1.1, one call at a time: POST /invocations/{id} with "Expect:
// 100-continue" and a chunked body. The body is the task (WriteTask) and then the
// input as the caller sent it. Its end is the commit: nothing runs without it.
// The gateway may send the body at once, but never its end before the 100. The
// runner answers
//
//   - 100 when it took a slot for the call;
//   - 409 when it did not, and nothing else will come of it;
//   - any other status from 400 on when it gave the slot back and nothing ran or
//     will run, however much of the body it has; 413 when that was more than MaxBody;
//   - 200 with HeaderOutcome when the invocation has ended. That is after the
//     commit, or before it when the input is refused by what was read of it.
//
// The result is the body, chunked, with HeaderSHA256 and HeaderSize as trailers;
// an outcome without a result has "Content-Length: 0". A connection that ends
// before the trailers did not carry a whole result. Afterwards the connection is
// parked again, unless either side says "Connection: close" or the runner is
// single-use. An answer other than 200 ends the connection.
//
// # The control connection
//
// It speaks HTTP/2 (prior knowledge), so that its streams do not wait for each
// other. GET /events is asked for at once and lasts as long as the connection.
// GET /invocations/{id} answers as the POST does, from any gateway and as often as
// it is asked; 404 says that the runner does not hold that invocation (any more),
// to all paths of an invocation. Both sides ping.
//
// Start at Hello for the runner's side and Task for the gateway's.
package task
