package task

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"davit/internal/faas"
)

// Task is one attempt of an invocation, as the gateway sends it to a runner.
type Task struct {
	Record        faas.Invocation    `json:"record"` // the runner completes it
	Command       []string           `json:"command"`
	ArgumentStyle faas.ArgumentStyle `json:"argument_style"`
	Results       []string           `json:"results,omitempty"`
	Response      faas.Response      `json:"response"`
	Fields        []faas.Field       `json:"fields,omitempty"` // declared
	Request       Request            `json:"request"`
	Timeout       faas.Duration      `json:"timeout"` // from the start of the command
	MaxBody       faas.Bytes         `json:"max_body"`
	MaxLog        faas.Bytes         `json:"max_log"`
	MaxResult     faas.Bytes         `json:"max_result"`
	Keep          faas.Keep          `json:"keep"`
	MustKeep      bool               `json:"must_keep,omitempty"` // keep all despite Keep, because the call was answered 202
	InputURL      string             `json:"input_url,omitempty"` // the runner downloads the input here; no input follows the task then
	Put           Put                `json:"put"`
}

// Put has the signed URLs of the runner's uploads. An empty URL means that the runner does not upload that object.
type Put struct {
	Input   string `json:"input,omitempty"` // empty also if the gateway has stored the input
	Result  string `json:"result,omitempty"`
	Log     string `json:"log,omitempty"`
	Outcome string `json:"outcome,omitempty"`
}

// Request is the caller's request without its body.
type Request struct {
	Method      string      `json:"method"`
	Path        string      `json:"path"`
	Query       string      `json:"query,omitempty"`       // raw, without "?"
	PathFields  [][2]string `json:"path_fields,omitempty"` // name and value, decoded, in order
	Headers     [][2]string `json:"headers,omitempty"`     // without credentials, in order
	ContentType string      `json:"content_type,omitempty"`
	Traceparent string      `json:"traceparent,omitempty"`
}

// MaxTask is how many bytes a task may have as JSON.
const MaxTask = 4 << 20

// EncodeTask returns t as it is sent: a big-endian uint32, the length, and that many bytes of JSON.
func EncodeTask(t *Task) ([]byte, error) {
	b, err := json.Marshal(t)
	if err != nil {
		return nil, fmt.Errorf("encode task: %w", err)
	}
	if len(b) > MaxTask {
		return nil, fmt.Errorf("encode task: %d bytes, at most %d are allowed", len(b), MaxTask)
	}
	out := make([]byte, 4, 4+len(b))
	binary.BigEndian.PutUint32(out, uint32(len(b))) //nolint:gosec // bounded above
	return append(out, b...), nil
}

// ReadTask reads what EncodeTask returned, and reads r no further.
func ReadTask(r io.Reader) (*Task, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, fmt.Errorf("read task: %w", err)
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > MaxTask {
		return nil, fmt.Errorf("read task: %d bytes, at most %d are allowed", n, MaxTask)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, fmt.Errorf("read task: %w", err)
	}
	var t Task
	if err := json.Unmarshal(b, &t); err != nil {
		return nil, fmt.Errorf("read task: %w", err)
	}
	return &t, nil
}

// Outcome is a runner's report of how an invocation ended. Reason "" means success. HeaderOutcome has no size, checksum
// and files of the result, because they are not known yet; an ended event and outcome.json have them.
type Outcome struct {
	Reason    faas.Reason   `json:"reason,omitempty"`
	Detail    string        `json:"detail,omitempty"` // names the pattern, field or signal
	ExitCode  *int          `json:"exit_code,omitempty"`
	Signal    *string       `json:"signal,omitempty"`
	StartedAt *time.Time    `json:"started_at,omitempty"` // of the command; nil if it never started
	EndedAt   time.Time     `json:"ended_at"`
	Phases    faas.Phases   `json:"phases"`
	Input     *faas.Input   `json:"input,omitempty"`
	Result    *faas.Result  `json:"result,omitempty"`
	LogTail   string        `json:"log_tail,omitempty"`
	LogSize   int64         `json:"log_size,omitempty"`
	LogStored bool          `json:"log_stored,omitempty"`
	Attempt   int           `json:"attempt"`
	Runner    faas.RunnerID `json:"runner"`
}

// Settle writes the outcome into a record and makes the record final.
func (o *Outcome) Settle(i *faas.Invocation) {
	i.End(o.Reason, o.Detail, o.EndedAt)
	i.ExitCode, i.Signal, i.StartedAt = o.ExitCode, o.Signal, o.StartedAt
	i.Phases.Input, i.Phases.Run, i.Phases.Zip, i.Phases.Store = o.Phases.Input, o.Phases.Run, o.Phases.Zip, o.Phases.Store
	if o.Input != nil {
		stored := o.Input.Stored || i.Input != nil && i.Input.Stored
		in := *o.Input
		in.Stored = stored
		i.Input = &in
	}
	if o.Result != nil {
		i.Result = o.Result
	}
	if i.Inner != nil {
		i.Inner.LogSize, i.Inner.LogStored = o.LogSize, o.LogStored
	}
}

// LogTailBytes is how many bytes of the log's end an outcome has.
const LogTailBytes = 4096
