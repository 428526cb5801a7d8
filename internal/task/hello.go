package task

import "davit/internal/faas"

// Protocol is the name in the Upgrade header of a runner that dials in.
const Protocol = "davit/1"

// Paths that a gateway serves to runners that dial in.
const (
	PathPark  = "/park"   // POST, upgrade: become a slot or the control connection
	PathStore = "/store/" // the folder store's signed URLs
)

// Paths that a runner serves on its parked connections.
const (
	PathInvocations = "/invocations/" // + id: POST on a slot; GET (attach), DELETE (cancel) on control; + id + "/log?from=N&follow=true" (GET), "/keep", "/ack" (POST)
	PathEvents      = "/events"       // GET, control: a stream of Event, one JSON object a line
	PathPeers       = "/peers"        // PUT, control: the addresses of all gateways, a JSON list of host:port
	PathAcks        = "/acks"         // POST, control: the ids of invocations whose outcomes are settled, a JSON list
	PathDrain       = "/drain"        // POST, control: take no more invocations, end when idle
)

// Headers of the protocol.
const (
	HeaderOutcome   = "Davit-Outcome"    // Outcome as JSON, without its files
	HeaderBody      = "Davit-Body"       // "zip" or "file"
	HeaderFilename  = "Davit-Filename"   // with "file": its base name, percent-encoded
	HeaderSHA256    = "Davit-Sha256"     // trailer: of the body, hex
	HeaderSize      = "Davit-Size"       // trailer: of the body, bytes
	HeaderLinkKind  = "Davit-Link"       // on POST /park: LinkSlot or LinkControl
	HeaderRevision  = "Davit-Revision"   // on POST /park: the RevisionRef that the token is for
	HeaderLinked    = "Davit-Linked"     // on POST /park, control: ids of gateways with an open control connection, comma-separated
	HeaderGateway   = "Davit-Gateway"    // on 101: the gateway's id
	HeaderInputSize = "Davit-Input-Size" // on POST /invocations/{id}: bytes of the input, if known
)

// LinkKind is the purpose of a parked connection.
type LinkKind string

// The kinds of parked connections.
const (
	LinkSlot    LinkKind = "slot"
	LinkControl LinkKind = "control"
)

// MaxHello is how many bytes a Hello may have on the control connection, and MaxSlotHello on a slot's connection.
const (
	MaxHello     = 8 << 20
	MaxSlotHello = 16 << 10
)

// Hello describes a runner. The runner sends it on each connection; Owned on control only.
type Hello struct {
	Runner     faas.RunnerID       `json:"runner"`
	Function   faas.FunctionName   `json:"function"`
	Revision   faas.RevisionNumber `json:"revision"`
	Start      faas.Start          `json:"start"`                // how it was started
	Invocation faas.InvocationID   `json:"invocation,omitempty"` // the only one that it takes; empty: any
	Slots      int                 `json:"slots"`                // all, free or not
	Free       int                 `json:"free,omitempty"`       // free slots; control only
	Owned      []Owned             `json:"held,omitempty"`       // invocations that it owns: taken and not yet acknowledged
	Version    string              `json:"version"`              // of the program
	Sandbox    string              `json:"sandbox"`              // how the commands are confined, e.g. "landlock v5", "none"
}

// Ref returns the revision that the runner runs.
func (h *Hello) Ref() faas.RevisionRef {
	return faas.RevisionRef{Function: h.Function, Number: h.Revision}
}

// Owned is an invocation that a runner owns, with its whole record, so that a gateway that does not know the call can
// settle it. While the body is arriving, the record has only ID, Function, Revision and State.
type Owned struct {
	Record   faas.Invocation `json:"record"`             // as far as it is known
	Ended    bool            `json:"ended"`              // the outcome is complete
	Uploaded bool            `json:"uploaded,omitempty"` // the uploads are done or given up: EventStored was sent, or is due
	Outcome  *Outcome        `json:"outcome,omitempty"`  // once ended
}

// Environment variables that configure a runner in a pod.
const (
	EnvLaunch = "DAVIT_LAUNCH" // Launch as JSON, without Runner and Token
	EnvRunner = "DAVIT_RUNNER" // Launch.Runner
	EnvToken  = "DAVIT_TOKEN"  // Launch.Token
)

// WorkingDir as Launch.SourceDir means the folder in which the runner was started. If that is the root, there is no
// source.
const WorkingDir = "."

// Launch is the configuration of a runner. The launcher passes it as JSON on standard input (local), or in the
// environment of the pod.
type Launch struct {
	Runner     faas.RunnerID       `json:"runner"`
	Function   faas.FunctionName   `json:"function"`
	Revision   faas.RevisionNumber `json:"revision"`
	Start      faas.Start          `json:"start"`
	Invocation faas.InvocationID   `json:"invocation,omitempty"`
	Token      string              `json:"token,omitempty"`
	Gateways   []string            `json:"gateways"`            // host:port; a host with several addresses means all of them
	Slots      int                 `json:"slots"`               // ≥ 1; 1 unless warm
	MaxCalls   int                 `json:"max_calls,omitempty"` // it drains after so many; 0: unbounded; a job or standby runs one task in any case
	MaxAge     faas.Duration       `json:"max_age,omitzero"`    // it drains after so long; 0: unbounded

	Env          map[string]string  `json:"env,omitempty"` // of the function
	StartProcess *faas.StartProcess `json:"start_process,omitempty"`
	StartTimeout faas.Duration      `json:"start_timeout,omitzero"` // until the start process must be ready
	SourceDir    string             `json:"source_dir,omitempty"`   // read-only; its entries are linked into each workspace
	Dir          string             `json:"dir"`                    // for workspaces, scratch, temp and shared files; the launcher makes it, for this runner only
	Common       []string           `json:"common,omitempty"`       // more folders that commands can write; the runner empties them when no command runs
	Landlock     bool               `json:"landlock,omitempty"`     // confine runner and commands: they write below Dir only
	Hide         []string           `json:"hide,omitempty"`         // with Landlock: folders that they cannot read
	Sandbox      string             `json:"sandbox,omitempty"`      // without Landlock: how they are confined instead, in a few words
	Memory       faas.Bytes         `json:"memory,omitempty"`       // resources.memory, if the launcher cannot set a limit by itself
}
