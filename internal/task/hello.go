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
	PathAcks        = "/acks"         // POST, control: outcomes that are settled, a JSON list of ids
	PathDrain       = "/drain"        // POST, control: take no more, end when idle
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
	HeaderLinked    = "Davit-Linked"     // on POST /park, control: ids of gateways whose control connection stands, comma-separated
	HeaderGateway   = "Davit-Gateway"    // on 101: the gateway's id
	HeaderInputSize = "Davit-Input-Size" // on POST /invocations/{id}: bytes of input to come, if known
)

// LinkKind is what a parked connection is for.
type LinkKind string

// The kinds of parked connections.
const (
	LinkSlot    LinkKind = "slot"
	LinkControl LinkKind = "control"
)

// MaxHello is the most bytes that a Hello may have on the control connection; on a
// slot's it may have MaxSlotHello.
const (
	MaxHello     = 8 << 20
	MaxSlotHello = 16 << 10
)

// Hello is what a runner says of itself on each connection; Held on control only.
type Hello struct {
	Runner     faas.RunnerID       `json:"runner"`
	Function   faas.FunctionName   `json:"function"`
	Revision   faas.RevisionNumber `json:"revision"`
	Start      faas.Start          `json:"start"`                // what it was launched as
	Invocation faas.InvocationID   `json:"invocation,omitempty"` // that it was launched for: it takes no other
	Slots      int                 `json:"slots"`                // how many it has in all
	Free       int                 `json:"free,omitempty"`       // how many of them are free; control only
	Held       []Held              `json:"held,omitempty"`       // taken and not yet acknowledged
	Version    string              `json:"version"`              // of the program
	Sandbox    string              `json:"sandbox"`              // what confines the commands, e.g. "landlock v5", "none"
}

// Ref returns the revision that the runner runs.
func (h *Hello) Ref() faas.RevisionRef {
	return faas.RevisionRef{Function: h.Function, Number: h.Revision}
}

// Held is an invocation that a runner has taken, with its whole record, so that a
// gateway that never saw the call can settle it. One whose body is still arriving
// has only ID, Function, Revision and State; its end is not decided yet.
type Held struct {
	Record   faas.Invocation `json:"record"`             // as far as it is known
	Ended    bool            `json:"ended"`              // the outcome is complete
	Uploaded bool            `json:"uploaded,omitempty"` // the uploads are done or given up: stored was, or would be, told
	Outcome  *Outcome        `json:"outcome,omitempty"`  // once ended
}

// Variables in which a runner in a pod is told what it is to do.
const (
	EnvLaunch = "DAVIT_LAUNCH" // Launch as JSON, without what follows
	EnvRunner = "DAVIT_RUNNER" // Launch.Runner
	EnvToken  = "DAVIT_TOKEN"  // Launch.Token
)

// WorkingDir as Launch.SourceDir means the folder that the runner was started in, which is none if that is the root.
const WorkingDir = "."

// Launch is what a launcher gives a runner to start with: as JSON on standard
// input (local), or in the variables of its pod.
type Launch struct {
	Runner     faas.RunnerID       `json:"runner"`
	Function   faas.FunctionName   `json:"function"`
	Revision   faas.RevisionNumber `json:"revision"`
	Start      faas.Start          `json:"start"`
	Invocation faas.InvocationID   `json:"invocation,omitempty"`
	Token      string              `json:"token,omitempty"`
	Gateways   []string            `json:"gateways"`            // host:port each; a host with several addresses means all of them
	Slots      int                 `json:"slots"`               // ≥ 1; 1 unless warm
	MaxCalls   int                 `json:"max_calls,omitempty"` // then it drains; 0: unbounded; job and standby: 1 task in its life whatever this says
	MaxAge     faas.Duration       `json:"max_age,omitzero"`    // then it drains; 0: unbounded

	Env          map[string]string  `json:"env,omitempty"` // of the function
	StartProcess *faas.StartProcess `json:"start_process,omitempty"`
	StartTimeout faas.Duration      `json:"start_timeout,omitzero"` // for the start process to get ready
	SourceDir    string             `json:"source_dir,omitempty"`   // read-only; its entries are linked into each workspace
	Dir          string             `json:"dir"`                    // for workspaces, scratch, temp and shared; made by the launcher, the runner's own
	Common       []string           `json:"common,omitempty"`       // further folders that commands write; emptied when none runs
	Landlock     bool               `json:"landlock,omitempty"`     // confine runner and commands: writes below Dir only
	Hide         []string           `json:"hide,omitempty"`         // with Landlock: folders that nothing may read
	Sandbox      string             `json:"sandbox,omitempty"`      // without Landlock: what confines them instead, in a few words
	Memory       faas.Bytes         `json:"memory,omitempty"`       // resources.memory, where the launcher cannot set a limit itself
}
