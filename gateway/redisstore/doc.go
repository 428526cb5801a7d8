// Package redisstore keeps in Redis everything that gateways share: registrations, invocation records, the durable
// queue, permits and counts of runners, the set of live gateways, and the messages between them. The package makes no
// decision about calls or builds. Start at Store; keys.go lists every key.
//
// The package works with Redis 7.0 and later and with the embedded Redis. It uses no transactions, no blocking commands
// and no streams: each change that must be atomic is one Lua script. Scripts are deterministic, because time and
// randomness are arguments, and expiries are absolute. Scripts do not parse the JSON of a record: the fields that
// scripts need are columns of the same hash. If a column and the JSON differ, the column is right.
//
// The client sends a command again if its reply was lost, so every script may run twice with the same arguments. Either
// the second run changes nothing, or a random request ID distinguishes a repeated request from a new one.
//
// Errors are *faas.Error: Unavailable if Redis does not answer, is full or loading, or refuses writes; NotFound and
// Conflict as documented for each method.
package redisstore
