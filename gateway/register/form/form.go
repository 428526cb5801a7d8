package form

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"davit/gateway/register"
	"davit/internal/faas"
)

// Form is the filled-in form of POST /register.
type Form struct {
	Values map[string][]string // of each field, as the browser sent them
	File   io.Reader           // the upload named "file"; nil: none
}

// Result is the function or the trigger that a form registered; the other one is nil.
type Result struct {
	Function *register.Registered
	Trigger  *faas.Trigger
	Created  bool // the trigger is new
}

// Registrar registers functions and triggers. *register.Service is one.
type Registrar interface {
	PutSource(ctx context.Context, name faas.FunctionName, spec faas.FunctionSpec, source io.Reader) (*register.Registered, error)
	PutImage(ctx context.Context, name faas.FunctionName, spec faas.FunctionSpec) (*register.Registered, error)
	PutTrigger(ctx context.Context, name faas.TriggerName, spec faas.TriggerSpec) (t *faas.Trigger, created bool, err error)
	// FunctionOf returns the function with that name, else a function from that image, else a NotFound error.
	FunctionOf(ctx context.Context, nameOrImage string) (faas.FunctionName, error)
}

// Register registers what the form describes. Kinds "files" and "image" register a function, whose start process is the
// form's command with its arguments. Kind "trigger" registers a trigger whose name is made from its URL, so that the
// same URL posted again updates the trigger. The fields of an error point at the form's fields.
func Register(ctx context.Context, r Registrar, f *Form) (*Result, error) {
	var result Result
	var err error
	switch kind := f.value("kind"); kind {
	case "files":
		result.Function, err = registerFiles(ctx, r, f)
	case "image":
		result.Function, err = registerImage(ctx, r, f)
	case "trigger":
		result.Trigger, result.Created, err = registerTrigger(ctx, r, f)
	default:
		err = refused("/kind", fmt.Sprintf("must be files, image or trigger, not %q", faas.Clip(kind)))
	}
	if err != nil {
		return nil, f.pointed(err)
	}
	return &result, nil
}

func registerFiles(ctx context.Context, r Registrar, f *Form) (*register.Registered, error) {
	start, err := f.startProcess()
	if err != nil {
		return nil, err
	}
	if f.File == nil {
		return nil, refused("/file", "is missing; choose a .tgz or .tar.gz archive")
	}
	return r.PutSource(ctx, faas.FunctionName(f.value("name")), faas.FunctionSpec{Start: start}, f.File)
}

func registerImage(ctx context.Context, r Registrar, f *Form) (*register.Registered, error) {
	start, err := f.startProcess()
	if err != nil {
		return nil, err
	}
	return r.PutImage(ctx, faas.FunctionName(f.value("name")), faas.FunctionSpec{Image: f.value("image"), Start: start})
}

func registerTrigger(ctx context.Context, r Registrar, f *Form) (*faas.Trigger, bool, error) {
	path := f.value("url")
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	command, style, err := ParseCommand(f.value("command"))
	if err != nil {
		return nil, false, refused("/command", err.Error())
	}
	function, err := r.FunctionOf(ctx, f.value("image"))
	switch {
	case faas.KindOf(err) == faas.NotFound:
		return nil, false, refused("/image", err.Error())
	case err != nil:
		return nil, false, err
	}
	return r.PutTrigger(ctx, NameForPath(path), faas.TriggerSpec{
		Function: function, Methods: ParseMethods(f.Values["method"]), Path: path,
		Command: command, ArgumentStyle: style, Results: f.list("files"),
	})
}

// value returns the first value of a field, without leading and trailing blanks; "" if there is none.
func (f *Form) value(name string) string {
	if values := f.Values[name]; len(values) > 0 {
		return strings.TrimSpace(values[0])
	}
	return ""
}

// list returns the items of a comma-separated field, without blank ones.
func (f *Form) list(name string) []string {
	var out []string
	for _, v := range f.Values[name] {
		for part := range strings.SplitSeq(v, ",") {
			if part = strings.TrimSpace(part); part != "" {
				out = append(out, part)
			}
		}
	}
	return out
}

// startProcess parses the fields command and arguments. It returns nil if both are blank.
func (f *Form) startProcess() (*faas.StartProcess, error) {
	var fields []faas.FieldError
	command, err := faas.SplitWords(f.value("command"))
	if err != nil {
		fields = append(fields, faas.FieldError{Pointer: "/command", Detail: err.Error()})
	}
	arguments, err := ParseArguments(f.value("arguments"))
	if err != nil {
		fields = append(fields, faas.FieldError{Pointer: "/arguments", Detail: err.Error()})
	}
	if len(fields) > 0 {
		return nil, register.Refused("form", fields)
	}
	if len(command) == 0 && len(arguments) == 0 {
		return nil, nil //nolint:nilnil // a function without a start process has none in its spec
	}
	return &faas.StartProcess{Command: command, Arguments: arguments}, nil
}

// pointed returns err with fields that point at the form instead of the spec that was made from it.
func (f *Form) pointed(err error) error {
	var e *faas.Error
	if !errors.As(err, &e) || len(e.Fields) == 0 {
		return err
	}
	fields := [][2]string{{"/start/command", "/command"}, {"/start/arguments", "/arguments"}}
	if f.value("kind") == "trigger" {
		fields = [][2]string{{"/path", "/url"}, {"/methods", "/method"}, {"/function", "/image"}, {"/results", "/files"}, {"/name", "/url"}}
	}
	own := *e
	own.Fields = make([]faas.FieldError, len(e.Fields))
	for i, field := range e.Fields {
		for _, name := range fields {
			if field.Pointer == name[0] || strings.HasPrefix(field.Pointer, name[0]+"/") {
				field.Pointer = name[1]
			}
		}
		own.Fields[i] = field
	}
	return &own
}

func refused(pointer, detail string) error {
	return register.Refused("form", []faas.FieldError{{Pointer: pointer, Detail: detail}})
}
