package spec

import (
	"slices"
	"strings"
	"time"

	"davit/internal/faas"
)

// DecodeTriggerSpec reads a spec as users write it, as strictly as DecodeFunctionSpec. Fields whose part is not in this
// release are NotAllowed unless they have their default.
func DecodeTriggerSpec(b []byte) (faas.TriggerSpec, error) {
	var s faas.TriggerSpec
	err := decodeSpec(b, func(d *decoding) readers { return triggerReaders(d, &s) })
	if err != nil {
		return faas.TriggerSpec{}, err
	}
	return s, nil
}

func triggerReaders(d *decoding, s *faas.TriggerSpec) readers {
	return readers{
		"function":       text(d, &s.Function),
		"methods":        d.texts(&s.Methods),
		"path":           text(d, &s.Path),
		"command":        d.command(&s.Command),
		"argument_style": text(d, &s.ArgumentStyle),
		"results":        d.texts(&s.Results),
		"response":       text(d, &s.Response),
		"fields":         d.fields(&s.Fields),
		"mode":           text(d, &s.Mode),
		"timeout":        nonZero(d, &s.Timeout, d.duration),
		"wait":           d.wait(&s.Wait),
		"max_body":       nonZero(d, &s.MaxBody, d.size),
		"retries":        d.noRetries,
		"access":         text(d, &s.Access),
		"on_disconnect":  text(d, &s.OnDisconnect),
		"keep":           text(d, &s.Keep),
		"retention":      nonZero(d, &s.Retention, d.duration),
		"schedule":       d.unavailable,
		"callback":       d.unavailable,
		"cache":          d.unavailable,
		"cors":           d.unavailable,
	}
}

func (d *decoding) fields(into *[]faas.Field) reader {
	return func(v jsonValue) {
		if !d.is(v, jsonList) {
			return
		}
		fields := make([]faas.Field, len(v.list))
		for i, item := range v.list {
			f := &fields[i]
			d.object(item, readers{
				"name":        text(d, &f.Name),
				"kind":        text(d, &f.Kind),
				"required":    d.flag(&f.Required),
				"description": text(d, &f.Description),
				"accept":      text(d, &f.Accept),
				"default":     d.fieldDefault(&f.Default),
			})
		}
		*into = fields
	}
}

// fieldDefault takes a string as it is, and anything else as the JSON text that it is.
func (d *decoding) fieldDefault(into **string) reader {
	return func(v jsonValue) {
		s := string(v.raw)
		if v.kind == jsonString {
			s = v.text
		}
		*into = &s
	}
}

func (d *decoding) wait(into **faas.Duration) reader {
	return func(v jsonValue) {
		var wait faas.Duration
		d.duration(&wait)(v)
		*into = &wait
	}
}

// noRetries reads a number of retries, or an object with their attempts, and refuses any above none.
func (d *decoding) noRetries(v jsonValue) {
	var attempts int
	switch v.kind {
	case jsonNumber:
		d.whole(&attempts)(v)
	case jsonObject:
		var backoff faas.Duration
		var on []string
		attempts = 1 // where the object does not say
		d.object(v, readers{"attempts": d.whole(&attempts), "backoff": d.duration(&backoff), "on": d.texts(&on)})
	case jsonNull, jsonBool, jsonString, jsonList:
		d.bad(v, "must be a number or an object, not %s", v.kind)
	}
	if attempts != 0 {
		d.unavailable(v)
	}
}

// CompleteTrigger returns s with every default filled in; s stays as it is. Methods become upper case and merged, "./"
// before result patterns goes. Command, mode and timeout are the function's where s has none; with an empty f they stay
// empty, so that a trigger can be kept as it is and follow its function.
func CompleteTrigger(s faas.TriggerSpec, f faas.FunctionSpec) faas.TriggerSpec {
	s.Methods = MergeMethods(s.Methods)
	if len(s.Command) == 0 {
		s.Command = f.Command
	}
	s.ArgumentStyle = or(s.ArgumentStyle, faas.Placeholders)
	s.Results = slices.Clone(s.Results)
	for i, glob := range s.Results {
		for strings.HasPrefix(glob, "./") {
			glob = glob[len("./"):]
		}
		s.Results[i] = glob
	}
	s.Response = or(s.Response, faas.ResponseZip)
	s.Fields = slices.Clone(s.Fields)
	for i := range s.Fields {
		s.Fields[i].Kind = or(s.Fields[i].Kind, faas.FieldText)
	}
	if f.Mode != "" {
		s.Mode = or(s.Mode, f.LooseMode())
	}
	s.Timeout = or(s.Timeout, f.Timeout)
	if s.Wait == nil {
		wait := faas.Duration(time.Minute)
		s.Wait = &wait
	}
	s.MaxBody = or(s.MaxBody, faas.GiB)
	s.Access = or(s.Access, faas.AccessPublic)
	s.OnDisconnect = or(s.OnDisconnect, faas.DisconnectContinue)
	s.Keep = or(s.Keep, faas.KeepAll)
	s.Retention = or(s.Retention, faas.Duration(24*time.Hour))
	return s
}

// MergeMethods returns the methods in upper case, each once.
func MergeMethods(methods []string) []string {
	var merged []string
	for _, m := range methods {
		if m = strings.ToUpper(m); !slices.Contains(merged, m) {
			merged = append(merged, m)
		}
	}
	return merged
}
