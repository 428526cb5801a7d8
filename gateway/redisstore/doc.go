// Package redisstore keeps everything that Davit holds in Redis: registrations,
// invocation records, the durable queue, places among running jobs, the set of
// live gateways and the messages between them. It decides nothing about calls or
// builds. Start at Store; keys.go lists every key.
//
// It speaks to a Redis from 7.0 on and to the embedded one: no transactions, no
// blocking commands, no streams; what must be atomic is one Lua script. Scripts
// are deterministic, time and randomness come as arguments, and expiries are
// absolute. Records are opaque JSON to them; the columns that scripts decide by
// stand beside the record in the same hash, and where both tell the same thing
// the column counts.
//
// A command whose answer got lost is sent again by the client, so every script
// may run twice with the same arguments: either that changes nothing, or a random
// request name tells the second time from a second request.
//
// Errors are *faas.Error: Unavailable when Redis is away, full, loading or does
// not take writes; NotFound and Conflict as the methods say.
package redisstore
