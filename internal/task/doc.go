// Package task is the protocol between gateway and runner: the Hello of a runner that dials in, the task that the
// gateway sends, the events that the runner sends, and the outcome that it reports. Both programs import it. Golden
// files pin its JSON, so that releases N and N-1 understand each other: unknown members are ignored, and members are
// only added.
//
// # Dialling in
//
// A runner opens TCP connections to every gateway's runner listener. On each it sends one HTTP/1.1 request, POST /park
// with "Upgrade: davit/1", its token as Authorization: Bearer, HeaderRevision, HeaderLinkKind and a Hello as JSON, and
// waits for 101 Switching Protocols. Any other answer refuses the connection: 400, 401 and 403 for good, 409 because
// the runner is connected to that gateway already (HeaderLinked); after any other status the runner may try again.
// After the 101 the roles are reversed: the gateway is the client.
//
// # A slot's connection
//
// It carries HTTP/1.1, one call at a time: POST /invocations/{id} with "Expect: 100-continue" and a chunked body. The
// body is the task (EncodeTask) and then the input as the caller sent it. The end of the body is the commit: without it
// the command does not run. The gateway may send the body at once, but sends its end only after the 100. The runner
// answers
//
//   - 100 when it has taken a slot for the call;
//   - 409 when it has no slot for it: the command does not run;
//   - any other status from 400 on when it has released the slot: the command has
//     not run and will not, however much of the body was sent; 413 when the input
//     is larger than MaxBody;
//   - 200 with HeaderOutcome when the invocation has ended: after the commit, or
//     before it when the runner refuses the input because of its first bytes.
//
// The result is the body, chunked, with HeaderSHA256 and HeaderSize as trailers; an outcome without a result has
// "Content-Length: 0". If the connection ends before the trailers, the result is incomplete. Afterwards the connection
// is parked again, unless either side sends "Connection: close" or the runner is single-use. An answer other than 200
// ends the connection.
//
// # The control connection
//
// It carries HTTP/2 (prior knowledge), so that its streams do not wait for one another. The gateway sends GET /events
// at once, and its answer lasts as long as the connection. GET /invocations/{id} is answered as the POST is, to any
// gateway and any number of times. On every path of an invocation, 404 says that the runner does not own that
// invocation, or no longer. Both sides ping.
//
// Start at Hello for the runner's side and Task for the gateway's.
package task
