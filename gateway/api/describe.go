package api

import (
	"cmp"
	_ "embed"
	"net/http"
	"strconv"
	"strings"

	"davit/gateway/edge"
	"davit/internal/faas"
)

// description is the OpenAPI document of both listeners.
//
//go:embed openapi.yaml
var description []byte

func (k *console) description(r *edge.Request) error {
	r.Set("Content-Type", "application/yaml")
	r.Set("Cache-Control", "no-cache")
	r.Send(http.StatusOK, description)
	return nil
}

// object is a JSON object of an OpenAPI document.
type object = map[string]any

// describeTrigger returns the OpenAPI document of one trigger, made from its path, methods and fields.
func describeTrigger(t *faas.Trigger, server string) object {
	path, parameters := describePath(t.Path)
	operations := object{}
	if len(parameters) > 0 {
		operations["parameters"] = parameters
	}
	for _, method := range t.Methods {
		operation := object{
			"operationId": strings.ToLower(method) + "-" + string(t.Name),
			"summary":     "Run " + string(t.Name) + " of the function " + string(t.Function),
			"responses":   describeResponses(t),
		}
		if method == http.MethodGet {
			operation["parameters"] = describeQuery(t.Fields)
		} else {
			operation["requestBody"] = describeBody(t.Fields)
		}
		if t.Access == faas.AccessToken {
			operation["security"] = []object{{"token": []string{}}}
		}
		operations[strings.ToLower(method)] = operation
	}
	return object{
		"openapi":    "3.1.0",
		"info":       object{"title": string(t.Name), "version": "1"},
		"servers":    []object{{"url": server}},
		"paths":      object{path: operations},
		"components": object{"securitySchemes": object{"token": object{"type": "http", "scheme": "bearer"}}},
	}
}

// describePath returns a trigger's pattern in OpenAPI's syntax. OpenAPI has no wildcard, so a wildcard becomes a
// parameter that may contain slashes.
func describePath(pattern string) (path string, parameters []object) {
	segments := strings.Split(pattern, "/")
	for i, segment := range segments {
		name, named := strings.CutPrefix(segment, ":")
		text := "one segment of the path"
		if segment == "*" && i == len(segments)-1 {
			name, named, text = "rest", true, "the rest of the path, slashes included"
			for strings.Contains(pattern, ":"+name) {
				name += "_"
			}
		}
		if !named {
			continue
		}
		segments[i] = "{" + name + "}"
		parameters = append(parameters, object{"name": name, "in": "path", "required": true, "description": text, "schema": object{"type": "string"}})
	}
	return strings.Join(segments, "/"), parameters
}

func describeField(f *faas.Field) object {
	schema := object{"type": "string"}
	switch f.Kind {
	case faas.FieldNumber:
		schema = object{"type": "number"}
	case faas.FieldFile:
		schema = object{"type": "string", "contentMediaType": cmp.Or(f.Accept, "application/octet-stream")}
	case faas.FieldJSON:
		schema = object{}
	case faas.FieldText:
	}
	if f.Description != "" {
		schema["description"] = f.Description
	}
	if f.Default != nil {
		schema["default"] = defaultOf(f)
	}
	return schema
}

func defaultOf(f *faas.Field) any {
	if f.Kind == faas.FieldNumber {
		if n, err := strconv.ParseFloat(*f.Default, 64); err == nil {
			return n
		}
	}
	return *f.Default
}

func describeQuery(fields []faas.Field) []object {
	parameters := []object{}
	for i := range fields {
		if f := &fields[i]; f.Kind != faas.FieldFile {
			parameters = append(parameters, object{"name": f.Name, "in": "query", "required": f.Required && f.Default == nil, "schema": describeField(f)})
		}
	}
	return parameters
}

// describeBody returns the media types in which callers can send fields and files. A body of any other type becomes the
// file "body".
func describeBody(fields []faas.Field) object {
	form, plain := object{"type": "object"}, object{"type": "object"}
	all, texts := object{}, object{}
	var required, requiredTexts []string
	for i := range fields {
		f := &fields[i]
		all[f.Name] = describeField(f)
		needed := f.Required && f.Default == nil
		if needed {
			required = append(required, f.Name)
		}
		if f.Kind == faas.FieldFile {
			continue
		}
		texts[f.Name] = describeField(f)
		if needed {
			requiredTexts = append(requiredTexts, f.Name)
		}
	}
	form["properties"], plain["properties"] = all, texts
	if len(required) > 0 {
		form["required"] = required
	}
	if len(requiredTexts) > 0 {
		plain["required"] = requiredTexts
	}
	content := object{"multipart/form-data": object{"schema": form}, "application/x-www-form-urlencoded": object{"schema": plain}}
	if len(fields) == 0 {
		content["application/octet-stream"] = object{"schema": object{}}
	} else {
		content["application/json"] = object{"schema": plain}
	}
	return object{"content": content}
}

func describeResponses(t *faas.Trigger) object {
	content := object{}
	if t.Response != faas.ResponseFile {
		content["application/zip"] = object{"schema": object{}}
	}
	if t.Response != faas.ResponseZip {
		content["*/*"] = object{"schema": object{}}
	}
	return object{
		"200":     object{"description": "The command ended with 0: its result.", "content": content},
		"202":     object{"description": "Accepted: ask at Location.", "content": object{"application/json": object{"schema": object{"type": "object"}}}},
		"default": object{"description": "What went wrong (RFC 9457).", "content": object{problemType: object{"schema": object{"type": "object"}}}},
	}
}
