package workspace

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"davit/internal/faas"
	"davit/runner/form"
)

// FuzzMultipart reads any body into a workspace. The outcome is a fault, or fields and files that keep the rules, and
// Clean restores the workspace.
func FuzzMultipart(f *testing.F) {
	part := func(head, body string) string {
		return "--XX\r\nContent-Disposition: form-data; " + head + "\r\n\r\n" + body + "\r\n"
	}
	multipart := "multipart/form-data; boundary=XX"
	f.Add(multipart, part(`name="a"`, "1")+part(`name="f"; filename="x.png"`, "pixels")+"--XX--\r\n", "q=1")
	f.Add(multipart, part(`name="f"; filename="../../app.sh"`, "x")+part(`name="f"; filename="C:\\a\\b"`, "y")+"--XX--\r\n", "")
	f.Add(multipart, part(`name="f"; filename="a`+"\x00"+`b"`, "x")+"--XX", "")
	f.Add(multipart, "--XX\nContent-Disposition: form-data; name=a; filename*=UTF-8''%2e%2e\n\nx\n--XX--", "a=%00")
	f.Add("application/json", `{"s": "x", "j": {"a": [1]}, "s": 2}`, "")
	f.Add("application/x-www-form-urlencoded", "s=1&j=%7B%7D&n=1e5", "s=%zz")
	f.Add("text/plain", "raw", "")
	declared := []faas.Field{{Name: "s", Kind: faas.FieldText}, {Name: "j", Kind: faas.FieldJSON}, {Name: "n", Kind: faas.FieldNumber}}
	src, err := OpenSource(source(f))
	must(f, err)
	r, err := New(filepath.Join(f.TempDir(), "0"), src)
	must(f, err)
	f.Fuzz(func(t *testing.T, contentType, body, query string) {
		in := form.New(r)
		err := in.AddQuery(query)
		if err == nil {
			err = in.ReadBody(strings.NewReader(body), contentType, declared)
		}
		if err == nil {
			err = in.Declare(declared)
		}
		if _, is := errors.AsType[*form.Fault](err); err != nil && !is {
			t.Fatalf("not a fault: %v", err)
		}
		for _, field := range in.Fields {
			if field.Name == "" || strings.ContainsRune(field.Name+field.Value, 0) {
				t.Fatalf("field %q", field)
			}
		}
		names := map[string]bool{}
		for _, file := range in.Files {
			checkKept(t, r, &file, names)
		}
		must(t, r.Clean())
		if entries, err := os.ReadDir(r.Work()); err != nil || len(entries) != len(src.links) {
			t.Fatalf("after Clean: %v, %v", entries, err)
		}
	})
}

func checkKept(t *testing.T, r *Workspace, file *form.File, names map[string]bool) {
	t.Helper()
	clean, err := CleanName(file.Name)
	if err != nil || clean != file.Name || names[file.Name] || r.source.Has(file.Name) {
		t.Fatalf("file %+v: %v", file, err)
	}
	names[file.Name] = true
	info, err := os.Lstat(filepath.Join(r.Work(), file.Name))
	if err != nil || !info.Mode().IsRegular() || info.Size() != file.Size {
		t.Fatalf("file %+v: %v, %v", file, info, err)
	}
}
