// Package redisstore keeps in Redis everything that gateways share: registrations, invocation records, the durable queue, permits
// and counts of runners, the set of live gateways, and the messages between them. It decides nothing about calls or builds. Start
// at Store; keys.go lists every key.
//
// It works with Redis 7.0 and later and with the embedded Redis. It uses no transactions, no blocking commands and no streams:
// each change that must be atomic is one Lua script. Scripts are deterministic, because time and randomness are arguments, and
// expiries are absolute. A record is opaque JSON to the scripts. The columns by which scripts decide stand beside the record in the
// same hash; where a column and the JSON hold the same fact, the column counts.
//
// The client sends a command again whose answer got lost, so that every script may run twice with the same arguments. Either the
// second run changes nothing, or a random request ID distinguishes it from a second request.
//
// Errors are *faas.Error: Unavailable if Redis does not answer, is full or loading, or takes no writes; NotFound and Conflict as
// the methods say.
package redisstore
