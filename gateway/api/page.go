package api

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"

	"davit/gateway/edge"
)

// pagePolicy lets the page load and call nothing but its own files and the console's API. The page previews results in
// frames without an origin.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; " +
	"connect-src 'self'; frame-src 'self' blob:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// newPage reads the files. It panics if a file cannot be read, because the files are embedded in the program.
func newPage(files fs.FS) *page {
	p := &page{files: make(map[string]*pageFile)}
	err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		body, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		if media, public := pageMedia(name); media != "" {
			p.files["/"+name] = newPageFile(body, media, public)
		}
		return nil
	})
	if err != nil {
		panic(fmt.Sprintf("the page's files cannot be read: %v", err))
	}
	if index := p.files["/index.html"]; index != nil {
		p.files["/"] = index
	}
	return p
}

// pageMedia returns a file's media type, and whether the file is served without a session. A file without a media type
// is not served.
func pageMedia(name string) (media string, public bool) {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8", false
	case ".js", ".mjs":
		return "text/javascript; charset=utf-8", false
	case ".json", ".map":
		return "application/json", false
	case ".css":
		return "text/css; charset=utf-8", true
	case ".svg":
		return "image/svg+xml", true
	case ".png":
		return "image/png", true
	case ".ico":
		return "image/x-icon", true
	case ".woff2":
		return "font/woff2", true
	case ".webmanifest":
		return "application/manifest+json", true
	}
	return "", false
}

func newPageFile(body []byte, media string, public bool) *pageFile {
	sum := sha256.Sum256(body)
	f := &pageFile{body: body, media: media, sum: hex.EncodeToString(sum[:8]), public: public}
	var packed bytes.Buffer
	w, _ := gzip.NewWriterLevel(&packed, gzip.BestCompression) // the level is a known one
	_, _ = w.Write(body)                                       // memory takes all
	_ = w.Close()
	if packed.Len() < len(body)*9/10 {
		f.packed = packed.Bytes()
	}
	return f
}

func (p *page) find(name string) *pageFile { return p.files[name] }

// send answers with a file. Browsers keep a file that they request by its checksum (?v=), and revalidate any other file
// at each use, mostly with a 304.
func (p *page) send(r *edge.Request, f *pageFile) error {
	r.SetRoute("page")
	etag := `"` + f.sum + `"`
	packed := f.packed != nil && r.AcceptsEncoding("gzip")
	if packed {
		etag = `"` + f.sum + `-gz"`
	}
	r.Set("ETag", etag)
	r.Set("Vary", "Accept-Encoding")
	r.Set("Cache-Control", "no-cache")
	if readQuery(r).text("v") == f.sum {
		r.Set("Cache-Control", "private, max-age=31536000, immutable")
	}
	if strings.HasPrefix(f.media, "text/html") {
		securePage(r, pagePolicy)
	}
	if matchesETag(r.Header("If-None-Match"), etag) {
		r.Send(http.StatusNotModified, nil)
		return nil
	}
	r.Set("Content-Type", f.media)
	body := f.body
	if packed {
		r.Set("Content-Encoding", "gzip")
		body = f.packed
	}
	r.Send(http.StatusOK, body)
	return nil
}

// securePage sets the headers that restrict what a document may do in a browser.
func securePage(r *edge.Request, policy string) {
	r.Set("Content-Security-Policy", policy)
	r.Set("Referrer-Policy", "same-origin") // with no-referrer, a form is sent with the Origin "null"
	r.Set("X-Frame-Options", "DENY")
	r.Set("Cross-Origin-Opener-Policy", "same-origin")
	r.Set("Cross-Origin-Resource-Policy", "same-origin")
}

// matchesETag reports whether an If-None-Match header names etag, by weak comparison (RFC 9110 §13.1.2).
func matchesETag(header, etag string) bool {
	for tag := range strings.SplitSeq(header, ",") {
		tag = strings.TrimSpace(tag)
		if tag == "*" || strings.TrimPrefix(tag, "W/") == etag {
			return true
		}
	}
	return false
}
