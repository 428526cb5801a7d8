package web_test

import (
	"bytes"
	"compress/gzip"
	"io/fs"
	"path"
	"regexp"
	"testing"

	"davit/web"
)

// All scripts together, compressed, stay below a limit.
func TestScriptsAreSmall(t *testing.T) {
	const most = 60_000
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	files, err := fs.Glob(web.Files, "app/*.js")
	if err != nil || len(files) < 5 {
		t.Fatalf("scripts %q, %v", files, err)
	}
	for _, name := range files {
		b, err := web.Files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = w.Write(b)
	}
	if err := w.Close(); err != nil || packed.Len() >= most {
		t.Fatalf("the scripts take %d bytes packed (%v), aim: less than %d", packed.Len(), err, most)
	}
}

// Every file that the page names exists, every module is preloaded, and nothing is inline.
func TestIndexNamesFilesThatAreThere(t *testing.T) {
	index, err := web.Files.ReadFile("index.html")
	if err != nil {
		t.Fatal(err)
	}
	if inline := regexp.MustCompile(`<style|<script[^>]*>[^<]|\sstyle=|\son[a-z]+=|https?://`).Find(index); inline != nil {
		t.Errorf("index.html has %q, which the policy forbids", inline)
	}
	named := map[string]bool{}
	for _, found := range regexp.MustCompile(`(?:href|src)="([^"#/][^"]*)"`).FindAllSubmatch(index, -1) {
		named[string(found[1])] = true
		if _, err := web.Files.ReadFile(string(found[1])); err != nil {
			t.Errorf("index.html names %s: %v", found[1], err)
		}
	}
	err = fs.WalkDir(web.Files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && name != "index.html" && !named[name] {
			t.Errorf("index.html does not name %s, which is then fetched late", name)
		}
		if err != nil || path.Ext(name) != ".js" {
			return err
		}
		b, err := web.Files.ReadFile(name)
		for _, found := range regexp.MustCompile(`from "\./([^"]+)"`).FindAllSubmatch(b, -1) {
			if _, err := web.Files.ReadFile("app/" + string(found[1])); err != nil {
				t.Errorf("%s imports %s: %v", name, found[1], err)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
