package register_test

import (
	"bytes"
	"io"
	"slices"
	"testing"
	"time"

	"davit/gateway/register/form"
	"davit/internal/faas"
)

func filled(kind string, values map[string][]string, file io.Reader) *form.Form {
	all := map[string][]string{"kind": {kind}}
	for name, v := range values {
		all[name] = v
	}
	return &form.Form{Values: all, File: file}
}

func TestFormRegistersFilesAndTrigger(t *testing.T) {
	g := newEmbeddedSite(t).start(t, 0)
	files := filled("files", map[string][]string{
		"name": {" f "}, "command": {"python3 server.py"}, "arguments": {"['--port', '5000']"},
	}, bytes.NewReader(tgz(t, "x")))
	r, err := form.Register(t.Context(), g, files)
	if err != nil {
		t.Fatal(err)
	}
	start := r.Function.Revision.Spec.Start
	if r.Function.Revision.Function != "f" || !r.Function.Created || r.Trigger != nil ||
		!slices.Equal(start.Command, []string{"python3", "server.py"}) || !slices.Equal(start.Arguments, []string{"--port", "5000"}) {
		t.Fatalf("registered %+v with start %+v", r.Function.Revision, start)
	}
	if _, err := g.WaitReady(t.Context(), r.Function.Revision.Ref(), 10*time.Second); err != nil {
		t.Fatal(err)
	}

	trigger := filled("trigger", map[string][]string{
		"url": {"thumbnail"}, "image": {"f"}, "method": {"get", "post"},
		"command": {"/bin/bash -c python3 app.py"}, "files": {"out.png, log.txt ,"},
	}, nil)
	for _, created := range []bool{true, false} { // the second time the form updates the trigger
		r, err := form.Register(t.Context(), g, trigger)
		if err != nil {
			t.Fatal(err)
		}
		got := r.Trigger
		if r.Created != created || got.Name != "thumbnail" || got.Path != "/thumbnail" || got.Function != "f" ||
			!slices.Equal(got.Methods, []string{"GET", "POST"}) || got.ArgumentStyle != faas.Counted ||
			!slices.Equal(got.Command, []string{"/bin/bash", "-c", `python3 app.py "$@"`, "davit"}) ||
			!slices.Equal(got.Results, []string{"out.png", "log.txt"}) {
			t.Fatalf("registered %+v, created %v", got, r.Created)
		}
		trigger.Values["url"] = []string{"/thumbnail"}
	}
	if m, err := g.catalog.Match("POST", "/thumbnail"); err != nil || m.Trigger.Name != "thumbnail" {
		t.Fatalf("match %+v, %v", m, err)
	}
}

func TestFormFaultsPointAtItsFields(t *testing.T) {
	g := newEmbeddedSite(t).start(t, 0)
	g.put(t, "f", "x")
	for name, c := range map[string]struct {
		form  *form.Form
		field string
	}{
		"no kind":               {&form.Form{}, "/kind"},
		"an odd kind":           {filled("secret", nil, nil), "/kind"},
		"no file":               {filled("files", map[string][]string{"name": {"f"}}, nil), "/file"},
		"a bad name":            {filled("files", map[string][]string{"name": {"F"}}, bytes.NewReader(tgz(t, "x"))), "/name"},
		"a bad command":         {filled("files", map[string][]string{"name": {"f"}, "command": {"'"}}, nil), "/command"},
		"bad arguments":         {filled("files", map[string][]string{"name": {"f"}, "command": {"x"}, "arguments": {"['"}}, nil), "/arguments"},
		"arguments of nothing":  {filled("files", map[string][]string{"name": {"f"}, "arguments": {"x"}}, bytes.NewReader(tgz(t, "x"))), "/command"},
		"an image":              {filled("image", map[string][]string{"name": {"f"}, "image": {"alpine"}}, nil), "/image"},
		"no image":              {filled("image", map[string][]string{"name": {"f"}}, nil), "/image"},
		"an unknown function":   {filled("trigger", map[string][]string{"url": {"/x"}, "image": {"g"}, "method": {"get"}, "command": {"x"}}, nil), "/image"},
		"no function":           {filled("trigger", map[string][]string{"url": {"/x"}, "method": {"get"}, "command": {"x"}}, nil), "/image"},
		"no method":             {filled("trigger", map[string][]string{"url": {"/x"}, "image": {"f"}, "command": {"x"}}, nil), "/method"},
		"a bad method":          {filled("trigger", map[string][]string{"url": {"/x"}, "image": {"f"}, "method": {"get", "brew"}, "command": {"x"}}, nil), "/method"},
		"a bad url":             {filled("trigger", map[string][]string{"url": {"/a//:"}, "image": {"f"}, "method": {"get"}, "command": {"x"}}, nil), "/url"},
		"a bad trigger command": {filled("trigger", map[string][]string{"url": {"/x"}, "image": {"f"}, "method": {"get"}, "command": {"x {files}y"}}, nil), "/command"},
		"a bad result":          {filled("trigger", map[string][]string{"url": {"/x"}, "image": {"f"}, "method": {"get"}, "command": {"x"}, "files": {"../up"}}, nil), "/files"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := form.Register(t.Context(), g, c.form)
			e := problem(t, err, faas.NotAllowed)
			if len(e.Fields) != 1 || e.Fields[0].Pointer != c.field || e.Fields[0].Detail == "" {
				t.Fatalf("fields %+v, want %s", e.Fields, c.field)
			}
		})
	}
	if keys := g.keys(t, "triggers/"); len(keys) > 0 {
		t.Fatalf("refused forms left %q", keys)
	}
}

func TestFormFindsAFunctionByItsImage(t *testing.T) {
	s := newEmbeddedSite(t)
	s.capabilities = faas.Capabilities{Images: true}
	g := s.start(t, 0)
	for _, name := range []string{"first", "second"} {
		r, err := form.Register(t.Context(), g, filled("image", map[string][]string{"name": {name}, "image": {"team/app:1"}}, nil))
		if err != nil {
			t.Fatal(err)
		}
		if rev, err := g.WaitReady(t.Context(), r.Function.Revision.Ref(), 10*time.Second); err != nil || rev.State != faas.RevisionReady {
			t.Fatalf("revision %+v, %v", rev, err)
		}
	}
	r, err := form.Register(t.Context(), g, filled("trigger", map[string][]string{"url": {"/x"}, "image": {"team/app:1"}, "method": {"get"}, "command": {"x"}}, nil))
	if err != nil || r.Trigger.Function != "second" {
		t.Fatalf("registered %+v, %v", r, err)
	}
}
