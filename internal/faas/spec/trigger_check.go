package spec

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"davit/internal/faas"
	"davit/internal/faas/route"
)

// CheckTrigger returns what is wrong with s as a trigger of f: fields whose value is not allowed; nil is good. Zero
// values count as their defaults.
func CheckTrigger(s faas.TriggerSpec, f faas.FunctionSpec) []faas.FieldError {
	s = CompleteTrigger(s, f)
	k := &checker{}
	checkRequest(k, s)
	checkCommand(k, s, f)
	checkResult(k, s)
	checkFields(k, s)
	checkCall(k, s, f)
	return k.faults
}

func checkRequest(k *checker, s faas.TriggerSpec) {
	k.name("/function", s.Function.Check())
	if len(s.Methods) == 0 {
		k.add("/methods", "is missing; name at least one of GET, POST, PUT")
	}
	for i, m := range s.Methods {
		at := "/methods/" + strconv.Itoa(i)
		switch m {
		case http.MethodGet, http.MethodPost, http.MethodPut:
		case http.MethodHead, http.MethodOptions:
			k.add(at, "is %s, which needs no trigger: HEAD goes with GET, OPTIONS is always answered", m)
		default:
			k.add(at, "must be GET, POST or PUT, not %q", faas.Clip(m))
		}
		if i == maxFieldErrors {
			break
		}
	}
	if _, err := route.NewPattern(s.Path); err != nil {
		k.add("/path", "%v", err)
	}
}

func checkCommand(k *checker, s faas.TriggerSpec, f faas.FunctionSpec) {
	if len(s.Command) == 0 && f.Image == "" {
		k.add("/command", "is missing: the function has none either; name the program to run")
	}
	k.command("/command", s.Command)
	oneOf(k, "/argument_style", s.ArgumentStyle, faas.Placeholders, faas.Counted)
	if s.ArgumentStyle != faas.Placeholders {
		return
	}
	kinds := map[string]faas.FieldKind{}
	for _, field := range s.Fields {
		kinds[field.Name] = field.Kind
	}
	for i, arg := range s.Command {
		at := "/command/" + strconv.Itoa(i)
		p, is, err := ParsePlaceholder(arg)
		switch {
		case err != nil:
			k.add(at, "%v", err)
		case is && i == 0:
			k.add(at, "is a placeholder; name the program to run, which callers must not choose")
		case is:
			k.name(at, p.misfit(kinds[p.Name]))
		}
	}
}

// misfit returns "" unless p can never be filled from a field declared to be of that kind.
func (p Placeholder) misfit(kind faas.FieldKind) string {
	isFile := kind == faas.FieldFile
	switch {
	case kind == "":
	case p.Kind == PlaceholderField && isFile:
		return faas.Clip(p.String()) + " asks for a value, but the field is declared as a file; write {file:" + faas.Clip(p.Name) + "}"
	case p.Kind == PlaceholderFile && !isFile:
		return faas.Clip(p.String()) + " asks for a file, but the field is declared as " + faas.Clip(string(kind)) + "; write {field:" + faas.Clip(p.Name) + "}"
	}
	return ""
}

func checkResult(k *checker, s faas.TriggerSpec) {
	if len(s.Results) > maxListed {
		k.add("/results", "has %d patterns; at most %d are allowed", len(s.Results), maxListed)
		return
	}
	for i, glob := range s.Results {
		k.name("/results/"+strconv.Itoa(i), checkGlob(glob))
	}
	oneOf(k, "/response", s.Response, faas.ResponseZip, faas.ResponseFile, faas.ResponseAuto)
}

func checkFields(k *checker, s faas.TriggerSpec) {
	if len(s.Fields) > maxListed {
		k.add("/fields", "has %d fields; at most %d are allowed", len(s.Fields), maxListed)
		return
	}
	seen := map[string]bool{}
	for i, f := range s.Fields {
		at := "/fields/" + strconv.Itoa(i)
		k.name(at+"/name", checkFieldName(f.Name))
		if seen[f.Name] {
			k.add(at+"/name", "%q is declared twice", faas.Clip(f.Name))
		}
		seen[f.Name] = true
		checkField(k, f, at)
	}
}

func checkField(k *checker, f faas.Field, at string) {
	oneOf(k, at+"/kind", f.Kind, faas.FieldText, faas.FieldNumber, faas.FieldFile, faas.FieldJSON)
	k.text(at+"/description", f.Description)
	k.text(at+"/accept", f.Accept)
	if f.Accept != "" && f.Kind != faas.FieldFile {
		k.add(at+"/accept", "goes with kind \"file\" only")
	}
	if f.Default == nil {
		return
	}
	k.text(at+"/default", *f.Default)
	if f.Kind == faas.FieldFile {
		k.add(at+"/default", "is not possible for a file")
	} else if fault := FaultOf(f.Kind, *f.Default); fault != "" {
		k.add(at+"/default", "%s", fault)
	}
}

// FaultOf returns "" for a value that a field of kind k may have, else what is wrong with it. A number is written as in
// JSON; a text may be anything.
func FaultOf(k faas.FieldKind, value string) string {
	switch k {
	case faas.FieldNumber:
		if !isNumber(value) {
			return strconv.Quote(faas.Clip(value)) + " is no number"
		}
	case faas.FieldJSON:
		if !json.Valid([]byte(value)) {
			return strconv.Quote(faas.Clip(value)) + " is no JSON"
		}
	case faas.FieldText, faas.FieldFile:
	}
	return ""
}

// isNumber reports whether s is a number as JSON writes them.
func isNumber(s string) bool {
	return s != "" && strings.TrimLeft(s, "-0123456789.eE+") == "" && json.Valid([]byte(s))
}

func checkFieldName(name string) string {
	switch {
	case name == "":
		return "is missing"
	case len(name) > maxName:
		return "has " + strconv.Itoa(len(name)) + " bytes; at most " + strconv.Itoa(maxName) + " are allowed"
	case strings.ContainsAny(name, "{}"):
		return "holds a brace, which placeholders cannot name"
	case strings.IndexFunc(name, route.IsControl) >= 0:
		return "holds a control character"
	}
	return ""
}

func checkCall(k *checker, s faas.TriggerSpec, f faas.FunctionSpec) {
	switch {
	case s.Mode != "" && !s.Mode.Known():
		oneOf(k, "/mode", s.Mode, faas.ModeWarm, faas.ModeStandby, faas.ModeJob)
	case f.Mode != "" && f.LooseMode().StricterThan(s.Mode):
		k.add("/mode", "%q is looser than %q, as the function runs; a trigger may only be stricter (warm, standby, job)", s.Mode, f.LooseMode())
	}
	if s.Timeout != 0 {
		k.above0("/timeout", s.Timeout, maxTimeout)
	}
	between(k, "/wait", *s.Wait, 0, maxTimeout)
	between(k, "/max_body", s.MaxBody, 1, maxObject)
	oneOf(k, "/access", s.Access, faas.AccessPublic, faas.AccessToken)
	oneOf(k, "/on_disconnect", s.OnDisconnect, faas.DisconnectContinue, faas.DisconnectCancel)
	oneOf(k, "/keep", s.Keep, faas.KeepAll, faas.KeepFailed, faas.KeepNone)
	k.above0("/retention", s.Retention, maxAge)
}
