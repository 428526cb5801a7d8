package redisstore

import "davit/internal/faas"

// keys returns every key and channel name that this package uses.
type keys struct{ prefix string }

// The installation.

func (k keys) secret() string   { return k.prefix + "secret" }   // string: 64 hex digits
func (k keys) ready() string    { return k.prefix + "ready" }    // string: overwritten by each readiness check
func (k keys) messages() string { return k.prefix + "messages" } // channel: see messages.go
func (k keys) gateways() string { return k.prefix + "gateways" } // hash: ID → "heartbeat applied address", see gateways.go

func (k keys) demand() string { return k.prefix + "demand" } // hash: gateway → "ms JSON", see demand.go
func (k keys) lead() string   { return k.prefix + "lead" }   // hash: gateway, term, until (ms): the gateway that leads

func (k keys) session(id string) string { return k.prefix + "session:" + id } // string: 1; there until the session ends

// Registrations.

func (k keys) version() string            { return k.prefix + "registry:version" }         // counter; absent until Restore
func (k keys) changes() string            { return k.prefix + "registry:changes" }         // list: what each version changed, "f:NAME t:NAME …"; the newest last
func (k keys) request(name string) string { return k.prefix + "registry:request:" + name } // string: the answer to a change, for a minute
func (k keys) functions() string          { return k.prefix + "functions" }                // zset, all scores 0: names
func (k keys) deletedFunctions() string   { return k.prefix + "functions:deleted" }        // hash: name → its last revision number
func (k keys) triggers() string           { return k.prefix + "triggers" }                 // hash: name → "created updated\n" and the JSON
func (k keys) triggerNames() string       { return k.prefix + "triggers:names" }           // zset, all scores 0: names
func (k keys) triggerEndpoints() string   { return k.prefix + "triggers:slots" }           // hash: "METHOD pattern" → the name of the trigger that has it
func (k keys) triggerHoldings() string    { return k.prefix + "triggers:holdings" }        // hash: name → "function\nendpoint\nendpoint…"
func (k keys) triggersByFunction() string { return k.prefix + "triggers:functions" }       // zset, all scores 0: "function/name"
func (k keys) function(n faas.FunctionName) string {
	return k.prefix + "function:" + string(n) // hash: live, latest, first (numbers), created, updated
}

func (k keys) revisions(n faas.FunctionName) string {
	return k.prefix + "revisions:" + string(n) // hash: "N" → JSON, "N:state" → state
}

// Invocations.

func (k keys) invocation(id faas.InvocationID) string {
	return k.prefix + "invocation:" + string(id) // hash: see columns in record.go
}

func (k keys) expiry() string      { return k.prefix + "invocations:expiry" } // zset: ID of a final record by the ms when it expires
func (k keys) leases() string      { return k.prefix + "invocations:leases" } // zset: ID of a queued invocation by the ms when its lease ends
func (k keys) invocations() string { return k.prefix + "invocations" }        // zset, all scores 0: IDs

func (k keys) byFunction(n faas.FunctionName) string {
	return k.prefix + "invocations:function:" + string(n) // zset, all scores 0: IDs
}

func (k keys) byTrigger(n faas.TriggerName) string {
	return k.prefix + "invocations:trigger:" + string(n) // zset, all scores 0: IDs
}

func (k keys) byState(s faas.State) string {
	return k.prefix + "invocations:state:" + string(s) // zset, all scores 0: IDs
}

// Permits.

func (k keys) allPermits() string { return k.prefix + "places" }        // zset: "function ID" by the ms when the permit ends
func (k keys) kept() string       { return k.prefix + "places:kept" }   // hash: function → its standby and warm runners, as the leading gateway counts them
func (k keys) waiting() string    { return k.prefix + "places:wishes" } // zset: function that waits for a runner by the ms until which it counts as waiting
func (k keys) permits(n faas.FunctionName) string {
	return k.prefix + "places:function:" + string(n) // zset: invocation ID by the ms when its permit ends
}
