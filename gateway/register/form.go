package register

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"davit/gateway/register/form"
	"davit/internal/faas"
)

// Form is a filled-in HTML form of POST /register.
type Form struct {
	Values map[string][]string // as they arrived, trimmed of nothing
	File   io.Reader           // the upload named "file"; nil: none
}

// FormResult is what a form registered: one of both.
type FormResult struct {
	Function *Registered
	Trigger  *faas.Trigger
	Created  bool // the trigger is new
}

// RegisterForm is the original's POST /register. Kinds "files" and "image"
// register a function, whose command and arguments are its start process; kind
// "trigger" registers a trigger that is named after its URL, so that posting
// again updates it. Errors point at the fields of the form.
func (s *Service) RegisterForm(ctx context.Context, form *Form) (*FormResult, error) {
	var result FormResult
	var err error
	switch kind := form.value("kind"); kind {
	case "files":
		result.Function, err = s.registerFiles(ctx, form)
	case "image":
		result.Function, err = s.registerImage(ctx, form)
	case "trigger":
		result.Trigger, result.Created, err = s.registerTrigger(ctx, form)
	default:
		err = refused("form", []faas.FieldError{{Pointer: "/kind", Detail: fmt.Sprintf("must be files, image or trigger, not %q", clip(kind))}})
	}
	if err != nil {
		return nil, form.pointed(err)
	}
	return &result, nil
}

func (s *Service) registerFiles(ctx context.Context, form *Form) (*Registered, error) {
	start, err := form.startProcess()
	if err != nil {
		return nil, err
	}
	if form.File == nil {
		return nil, refused("form", []faas.FieldError{{Pointer: "/file", Detail: "is missing; choose a .tgz or .tar.gz archive"}})
	}
	return s.PutSource(ctx, faas.FunctionName(form.value("name")), faas.FunctionSpec{Start: start}, form.File)
}

func (s *Service) registerImage(ctx context.Context, form *Form) (*Registered, error) {
	start, err := form.startProcess()
	if err != nil {
		return nil, err
	}
	return s.PutImage(ctx, faas.FunctionName(form.value("name")), faas.FunctionSpec{Image: form.value("image"), Start: start})
}

func (s *Service) registerTrigger(ctx context.Context, f *Form) (*faas.Trigger, bool, error) {
	path := f.value("url")
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	command, style, err := form.ParseCommand(f.value("command"))
	if err != nil {
		return nil, false, refused("form", []faas.FieldError{{Pointer: "/command", Detail: err.Error()}})
	}
	function, err := s.functionOf(ctx, f.value("image"))
	if err != nil {
		return nil, false, err
	}
	return s.PutTrigger(ctx, form.NameForPath(path), faas.TriggerSpec{
		Function: function, Methods: form.ParseMethods(f.Values["method"]), Path: path,
		Command: command, ArgumentStyle: style, Results: f.list("files"),
	})
}

// functionOf finds a function by its name, or else by the image that its live
// revision was registered from; of several, the one that was ready last.
func (s *Service) functionOf(ctx context.Context, word string) (faas.FunctionName, error) {
	name := faas.FunctionName(word)
	if name.Check() == "" {
		_, err := s.o.Functions.FindFunction(ctx, name)
		if err == nil {
			return name, nil
		}
		if !isNotFound(err) {
			return "", err
		}
	}
	var found *faas.Revision
	for _, rev := range s.o.Catalog.LiveRevisions() {
		if word == "" || rev.Spec.Image != word || rev.ReadyAt == nil {
			continue
		}
		if found == nil || rev.ReadyAt.After(*found.ReadyAt) {
			found = rev
		}
	}
	if found == nil {
		return "", refused("form", []faas.FieldError{{Pointer: "/image", Detail: fmt.Sprintf("there is no function %q, and none from such an image; register it first", clip(word))}})
	}
	return found.Function, nil
}

// value returns the first value of a field, without blanks around it.
func (f *Form) value(name string) string {
	if values := f.Values[name]; len(values) > 0 {
		return strings.TrimSpace(values[0])
	}
	return ""
}

// list returns the parts of a comma-separated field that are not blank.
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

// startProcess reads command and arguments; both blank is none.
func (f *Form) startProcess() (*faas.StartProcess, error) {
	var faults []faas.FieldError
	command, err := faas.SplitWords(f.value("command"))
	if err != nil {
		faults = append(faults, faas.FieldError{Pointer: "/command", Detail: err.Error()})
	}
	arguments, err := form.ParseArguments(f.value("arguments"))
	if err != nil {
		faults = append(faults, faas.FieldError{Pointer: "/arguments", Detail: err.Error()})
	}
	if len(faults) > 0 {
		return nil, refused("form", faults)
	}
	if len(command) == 0 && len(arguments) == 0 {
		return nil, nil //nolint:nilnil // no start process is a start process that is not there
	}
	return &faas.StartProcess{Command: command, Arguments: arguments}, nil
}

// pointed makes the pointers of an error point at the form's fields.
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

// clip shortens what a user wrote, to show it to them.
func clip(s string) string { return clipped(s, 80) }

func clipped(s string, most int) string {
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
