package argv

import (
	"encoding/json"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"

	"davit/internal/task"
	"davit/runner/form"
)

const (
	maxFieldValue = 8 << 10
	maxFieldVars  = 128 << 10
	defaultPath   = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// Base returns the environment that all commands of a runner have: the function's variables and PATH, which is a
// default if path is "".
func Base(function map[string]string, path string) []string {
	if path == "" {
		path = defaultPath
	}
	base := []string{"PATH=" + path}
	for name, value := range function {
		if name != "PATH" {
			base = append(base, name+"="+value)
		}
	}
	sort.Strings(base[1:])
	return base
}

// Paths are the paths that a command gets in its environment.
type Paths struct {
	Home, Temp, Shared, Request string
}

// Variables returns the environment variables of the paths. It leaves out an empty Request.
func (p *Paths) Variables() []string {
	vars := []string{"HOME=" + p.Home, "TMPDIR=" + p.Temp, "DAVIT_SHARED=" + p.Shared}
	if p.Request != "" {
		vars = append(vars, "DAVIT_REQUEST="+p.Request)
	}
	return vars
}

// Mark returns the variable by which the processes of a call are found.
func Mark(t *task.Task) string { return "DAVIT_INVOCATION_ID=" + string(t.Record.ID) }

// Environ returns the whole environment of a call's command.
func Environ(base, paths []string, t *task.Task, in *form.Input, deadline time.Time) []string {
	env := make([]string, 0, len(base)+len(paths)+8+len(in.Fields))
	env = append(env, base...)
	env = append(env, paths...)
	env = append(env, Mark(t),
		"DAVIT_FUNCTION="+string(t.Record.Function),
		"DAVIT_REVISION="+strconv.Itoa(int(t.Record.Revision)),
		"DAVIT_TRIGGER="+string(t.Record.Trigger),
		"DAVIT_ATTEMPT="+strconv.Itoa(t.Record.Attempt),
		"DAVIT_DEADLINE="+deadline.UTC().Format(time.RFC3339Nano),
	)
	if trace := t.Request.Traceparent; trace != "" && strings.IndexByte(trace, 0) < 0 {
		env = append(env, "TRACEPARENT="+trace)
	}
	return addFields(env, in)
}

func addFields(env []string, in *form.Input) []string {
	if len(in.Fields) == 0 {
		return env
	}
	taken := make(map[string]bool, len(in.Fields))
	total := 0
	for i := range in.Fields {
		name := variable(in.Fields[i].Name)
		if taken[name] {
			continue
		}
		taken[name] = true
		size := len(name) + len(in.Fields[i].Value)
		if len(in.Fields[i].Value) > maxFieldValue || total+size > maxFieldVars {
			continue
		}
		total += size
		env = append(env, name+"="+in.Fields[i].Value)
	}
	return env
}

// variable returns the name of a field's variable.
func variable(field string) string {
	return "DAVIT_FIELD_" + strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, field)
}

// request is the content of the file that DAVIT_REQUEST names.
type request struct {
	Method  string              `json:"method"`
	Path    string              `json:"path"`
	Query   string              `json:"query"`
	Headers map[string][]string `json:"headers"` // names in lower case
	Fields  map[string][]string `json:"fields"`
	Files   []file              `json:"files"`
}

type file struct {
	Field       string `json:"field"`
	Name        string `json:"name"` // in the workspace
	Size        int64  `json:"size"`
	ContentType string `json:"content_type,omitempty"`
}

// Request returns the JSON that describes the request to the command.
func Request(t *task.Task, in *form.Input) ([]byte, error) {
	r := request{
		Method: t.Request.Method, Path: t.Request.Path, Query: t.Request.Query,
		Headers: map[string][]string{}, Fields: map[string][]string{}, Files: []file{},
	}
	for _, h := range t.Request.Headers {
		name := strings.ToLower(h[0])
		r.Headers[name] = append(r.Headers[name], h[1])
	}
	for i := range in.Fields {
		f := &in.Fields[i]
		r.Fields[f.Name] = append(r.Fields[f.Name], f.Value)
	}
	for i := range in.Files {
		f := &in.Files[i]
		r.Files = append(r.Files, file{Field: f.Field, Name: f.Name, Size: f.Size, ContentType: f.ContentType})
	}
	b, err := json.Marshal(&r)
	if err != nil {
		return nil, fmt.Errorf("describe request: %w", err)
	}
	return append(b, '\n'), nil
}
