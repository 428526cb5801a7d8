package api

import (
	"cmp"
	"io/fs"
	"log/slog"
	"net/http"
	"time"

	"davit/gateway/edge"
	"davit/internal/faas"
)

// Limits bound what callers can make a listener wait for and keep in memory. The zero value of each means its default.
type Limits struct {
	edge.Limits

	JSONBytes   int64         // of a JSON body; 1 MiB
	SourceBytes int64         // of an uploaded archive; 100 MiB
	Heartbeat   time.Duration // between two comments in an event stream; 15 s
}

func (l Limits) withDefaults() Limits {
	l.JSONBytes = cmp.Or(l.JSONBytes, 1<<20)
	l.SourceBytes = cmp.Or(l.SourceBytes, 100<<20)
	l.Heartbeat = cmp.Or(l.Heartbeat, 15*time.Second)
	return l
}

// ConsoleOptions are the parts and settings of the console's listener. The parts are required.
type ConsoleOptions struct {
	Functions   FunctionReader
	Triggers    TriggerReader
	Register    FunctionRegistrar
	Change      FunctionChanger
	SetTriggers TriggerRegistrar
	Forms       FormRegistrar
	Secrets     SecretStore
	Sessions    SessionStore
	Invocations Invocations
	Changes     Subscriber
	Slots       func(faas.RevisionRef) map[faas.Start]faas.SlotCounts
	Ready       map[string]Prober // each dependency by name
	Metrics     http.Handler
	Requests    Requests
	Page        fs.FS         // with index.html at its top
	Info        func() Info   // the answer of GET /v1/limits
	Token       string        // the admin token
	Secret      []byte        // of the installation; signs sessions
	SessionTTL  time.Duration // 24 h
	Hosts       []string      // host names of the console, besides localhost and addresses
	Secure      bool          // the console is reached through TLS: browsers send its cookies through TLS only
	CallsURL    string        // where callers reach triggers; an empty host or 0.0.0.0 means the host of the console's request
	TempDir     string        // for spooled uploads; "" means the system's directory
	Limits      Limits
	Log         *slog.Logger
	Now         func() time.Time
}

// TriggerOptions are the parts and settings of the triggers' listener. The parts are required.
type TriggerOptions struct {
	Matcher     Matcher
	Caller      Caller
	Invocations Invocations
	Requests    Requests
	Token       string // opens triggers whose access is "token"
	Limits      Limits
	Log         *slog.Logger
	Now         func() time.Time
}

// Info describes the installation.
type Info struct {
	Version string            `json:"version"`
	Mode    string            `json:"mode"`    // "embedded", or "configured" if a part is not embedded
	Parts   map[string]string `json:"parts"`   // e.g. "store": "folder"
	Sandbox string            `json:"sandbox"` // how commands are confined
	Limits  InForce           `json:"limits"`

	Capabilities faas.Capabilities `json:"capabilities"` // features that functions can use
}

// InForce are the limits of the installation.
type InForce struct {
	BodyIdle           faas.Duration `json:"body_idle"`
	Drain              faas.Duration `json:"drain"`
	Lease              faas.Duration `json:"lease"`
	MaxArchive         faas.Bytes    `json:"max_archive"`
	MaxArchiveEntries  int           `json:"max_archive_entries"`
	MaxArchiveUnpacked faas.Bytes    `json:"max_archive_unpacked"`
	MaxLog             faas.Bytes    `json:"max_log"`
	MaxResult          faas.Bytes    `json:"max_result"`
	MaxRunners         int           `json:"max_runners"` // 0: any number
	NotEnforced        []string      `json:"not_enforced"`
	RunnerGrace        faas.Duration `json:"runner_grace"`
}
