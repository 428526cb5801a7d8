package e2e

import (
	"bytes"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"davit/e2e/rig"
	"davit/internal/testenv"
)

const echoArguments = `#!/bin/sh
# writes every argument on a line of its own, and what is in its folder
for a in "$@"; do printf '[%s]\n' "$a"; done > arguments.txt
ls > listing.txt
cat *.txt >/dev/null
`

// registerForm posts an HTML form to /register as a page without scripts does.
func registerForm(t *testing.T, g *rig.Gateway, fields map[string][]string, file []byte) *rig.Answer {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for name, values := range fields {
		for _, v := range values {
			if err := w.WriteField(name, v); err != nil {
				t.Fatal(err)
			}
		}
	}
	if file != nil {
		p, err := w.CreateFormFile("file", "source.tgz")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Write(file); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	a, err := g.Admin(t.Context(), http.MethodPost, "/register", w.FormDataContentType(), &b)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestOriginal: the behaviour of the student project: its forms, counted arguments, uploads under their names, a zip of
// the named files, GET and POST.
func TestOriginal(t *testing.T) {
	g := newWorld(t).start("data")
	source, err := rig.PackFiles(map[string]string{"app.sh": echoArguments})
	if err != nil {
		t.Fatal(err)
	}
	a := registerForm(t, g, map[string][]string{"kind": {"files"}, "name": {"echo"}, "command": {""}, "arguments": {""}}, source)
	status(t, a, http.StatusSeeOther)
	testenv.EventuallyWithin(t, wait, "the function is ready", func() bool {
		return strings.Contains(string(admin(t, g, http.MethodGet, "/v1/functions/echo", "").Body), `"ready"`)
	})
	a = registerForm(t, g, map[string][]string{
		"kind": {"trigger"}, "url": {"/echo"}, "image": {"echo"}, "method": {"get", "post"},
		"command": {"/bin/sh app.sh"}, "files": {"arguments.txt,listing.txt"},
	}, nil)
	status(t, a, http.StatusSeeOther)

	t.Run("get", func(t *testing.T) {
		a := get(t, g, "/echo?"+url.Values{"b": {"two words"}, "a": {`quote " and $(touch x)`}}.Encode(), nil)
		status(t, a, http.StatusOK)
		files := unzip(t, a.Body)
		want := "[2]\n[quote \" and $(touch x)]\n[two words]\n[0]\n"
		if files["arguments.txt"] != want {
			t.Errorf("arguments are %q, want %q", files["arguments.txt"], want)
		}
		if strings.Contains(files["listing.txt"], "x\n") && !strings.Contains(files["listing.txt"], "txt\n") {
			t.Errorf("a shell has run a value: %q", files["listing.txt"])
		}
	})
	t.Run("post", func(t *testing.T) {
		a := post(t, g, "/echo", nil, rig.Part{Name: "field", Data: []byte("value")},
			rig.Part{Name: "upload", Filename: "données 1.txt", Data: []byte("content")})
		status(t, a, http.StatusOK)
		files := unzip(t, a.Body)
		if want := "[1]\n[value]\n[1]\n[données 1.txt]\n"; files["arguments.txt"] != want {
			t.Errorf("arguments are %q, want %q", files["arguments.txt"], want)
		}
		for _, name := range []string{"app.sh", "données 1.txt"} {
			if !strings.Contains(files["listing.txt"], name) {
				t.Errorf("%s is not in the workspace: %q", name, files["listing.txt"])
			}
		}
	})
}

// TestShellWords: the original's command `/bin/bash -c python3 app.py` gets its arguments.
func TestShellWords(t *testing.T) {
	g := newWorld(t).start("data")
	function(t, g, "echo", "{}", map[string]string{"app.sh": echoArguments})
	status(t, registerForm(t, g, map[string][]string{
		"kind": {"trigger"}, "url": {"/words"}, "image": {"echo"}, "method": {"post"},
		"command": {"/bin/sh -c sh app.sh"}, "files": {"arguments.txt"},
	}, nil), http.StatusSeeOther)
	a := post(t, g, "/words", nil, rig.Part{Name: "x", Data: []byte("1 2")})
	status(t, a, http.StatusOK)
	if got := unzip(t, a.Body)["arguments.txt"]; got != "[1]\n[1 2]\n[0]\n" {
		t.Errorf("arguments are %q", got)
	}
}
