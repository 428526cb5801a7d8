package faas

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// FunctionSpec is what a user registers. The zero value of a field means its default; Complete fills it in.
type FunctionSpec struct {
	Image          string            `json:"image,omitempty"`
	BaseImage      string            `json:"base_image,omitempty"`
	Setup          string            `json:"setup,omitempty"`
	Command        Command           `json:"command,omitempty"`
	Start          *StartProcess     `json:"start,omitempty"`
	Env            map[string]string `json:"env,omitempty"`
	Secrets        []string          `json:"secrets,omitempty"`
	Mode           Mode              `json:"mode,omitempty"`
	Standby        *Standby          `json:"standby,omitempty"`
	Warm           *Warm             `json:"warm,omitempty"`
	Resources      *Resources        `json:"resources,omitempty"`
	Timeout        Duration          `json:"timeout,omitzero"`
	MaxQueue       *MaxQueue         `json:"max_queue,omitempty"`
	MaxConcurrency int               `json:"max_concurrency,omitempty"`
	RunAs          RunAs             `json:"run_as,omitempty"`
	WritableRoot   bool              `json:"writable_root,omitempty"`
	Egress         string            `json:"egress,omitempty"`
	RegistrySecret string            `json:"registry_secret,omitempty"`
}

// StartProcess runs once per runner, before the first call and beside them.
type StartProcess struct {
	Command   Command `json:"command"`
	Arguments Command `json:"arguments,omitempty"`
	Ready     *Ready  `json:"ready,omitempty"`
}

// Ready is how a start process shows that it is ready: one of both is set.
type Ready struct {
	Port int    `json:"port,omitempty"` // answers on loopback
	File string `json:"file,omitempty"` // appears in DAVIT_SHARED
}

// Standby bounds the parked single-use runners of a revision. In JSON a number stands for min = max.
type Standby struct {
	Min int `json:"min"`
	Max int `json:"max"`
}

// UnmarshalJSON accepts a number or the object, and there members of a later release, since records are read with it;
// what users send is read by DecodeFunctionSpec.
func (s *Standby) UnmarshalJSON(b []byte) error {
	var n int
	if err := json.Unmarshal(b, &n); err == nil {
		*s = Standby{Min: n, Max: n}
		return nil
	}
	type plain Standby
	return json.Unmarshal(b, (*plain)(s))
}

// Warm bounds the reused runners of a revision.
type Warm struct {
	Min         int      `json:"min"`
	Max         int      `json:"max"`
	Concurrency int      `json:"concurrency"`
	Idle        Duration `json:"idle"`
	MaxCalls    int      `json:"max_calls"` // 0: unbounded
	MaxAge      Duration `json:"max_age"`   // 0: unbounded
}

// Resources are a runner's requests and limits at once.
type Resources struct {
	CPU    string `json:"cpu"`    // cores, "0.5" or "500m"
	Memory Bytes  `json:"memory"` // bytes
	Disk   Bytes  `json:"disk"`   // bytes
	GPU    int    `json:"gpu"`
}

// MaxQueue bounds the calls that wait for a slot, and how long each may.
type MaxQueue struct {
	Calls int      `json:"calls"`
	Wait  Duration `json:"wait"`
}

// RunAs is a uid as a decimal, "root" or "image".
type RunAs string

// UnmarshalJSON accepts a number or a string.
func (r *RunAs) UnmarshalJSON(b []byte) error {
	var n int64
	if err := json.Unmarshal(b, &n); err == nil {
		*r = RunAs(fmt.Sprint(n))
		return nil
	}
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return errors.New("run_as is a uid, \"root\" or \"image\"")
	}
	*r = RunAs(s)
	return nil
}

// MarshalJSON writes a uid as a number, and anything else as a string.
func (r RunAs) MarshalJSON() ([]byte, error) {
	if uid, err := strconv.ParseUint(string(r), 10, 32); err == nil && strconv.FormatUint(uid, 10) == string(r) {
		return []byte(r), nil
	}
	return json.Marshal(string(r))
}

// RevisionState is where a revision is in its life.
type RevisionState string

// The states of a revision.
const (
	RevisionBuilding RevisionState = "building"
	RevisionReady    RevisionState = "ready"
	RevisionFailed   RevisionState = "failed"
)

// Revision is one immutable, numbered build of a function.
type Revision struct {
	Function  FunctionName   `json:"function"`
	Number    RevisionNumber `json:"revision"`
	State     RevisionState  `json:"state"`
	Detail    string         `json:"detail,omitempty"` // why it failed
	Spec      FunctionSpec   `json:"spec"`             // with its defaults filled in
	Image     string         `json:"image,omitempty"`  // by digest, once ready
	SourceSum string         `json:"source_sha256,omitempty"`
	CreatedAt time.Time      `json:"created_at"`
	ReadyAt   *time.Time     `json:"ready_at,omitempty"`
}

// Ref returns the revision's address.
func (r *Revision) Ref() RevisionRef { return RevisionRef{Function: r.Function, Number: r.Number} }

// Built is what a build made of a revision.
type Built struct {
	Image   string  // by digest
	Command Command // ENTRYPOINT and CMD of the image that the user brought: the default of FunctionSpec.Command
}

// Function is a registered function: its revisions live beside it.
type Function struct {
	Name      FunctionName   `json:"name"`
	Live      RevisionNumber `json:"live_revision"` // that calls go to; 0 before the first is ready
	Latest    RevisionNumber `json:"revision"`      // the newest, in whatever state
	CreatedAt time.Time      `json:"created_at"`
	UpdatedAt time.Time      `json:"updated_at"`
}

// LooseMode is the loosest mode that the function's calls run in: warm, standby where it keeps any, else job.
func (s *FunctionSpec) LooseMode() Mode {
	switch {
	case s.Mode == ModeWarm:
		return ModeWarm
	case s.Standby != nil && s.Standby.Max > 0:
		return ModeStandby
	}
	return ModeJob
}
