package api

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// pagePolicy is what the page may load and do: nothing but its own files and our
// API. Results are previewed in frames without an origin.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; " +
	"connect-src 'self'; frame-src 'self' blob:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// newPage reads the files; an unreadable one is a fault of the build.
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

// pageMedia tells how a file is served; what has no type here is not.
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

// send answers with a file. One that is asked for by its checksum (?v=) never
// changes; others are asked for again each time, and mostly answered with 304.
func (p *page) send(r *request, f *pageFile) error {
	r.route = "page"
	h := r.respond()
	etag := `"` + f.sum + `"`
	packed := f.packed != nil && r.http.Request.Header.HasAcceptEncoding("gzip")
	if packed {
		etag = `"` + f.sum + `-gz"`
	}
	h.Set("ETag", etag)
	h.Set("Vary", "Accept-Encoding")
	h.Set("Cache-Control", "no-cache")
	if string(r.http.QueryArgs().Peek("v")) == f.sum {
		h.Set("Cache-Control", "private, max-age=31536000, immutable")
	}
	if strings.HasPrefix(f.media, "text/html") {
		securePage(r, pagePolicy)
	}
	if matchesETag(r.header("If-None-Match"), etag) {
		r.http.Response.SetStatusCode(304)
		return nil
	}
	h.SetContentType(f.media)
	body := f.body
	if packed {
		h.Set("Content-Encoding", "gzip")
		body = f.packed
	}
	r.http.Response.SetBodyRaw(body)
	return nil
}

// securePage sets what browsers hold a document to.
func securePage(r *request, policy string) {
	h := r.respond()
	h.Set("Content-Security-Policy", policy)
	h.Set("Referrer-Policy", "same-origin") // with no-referrer, a form is sent with the Origin "null"
	h.Set("X-Frame-Options", "DENY")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}

// matchesETag reads an If-None-Match header (RFC 9110 §13.1.2), weakly as it asks for.
func matchesETag(header, etag string) bool {
	for tag := range strings.SplitSeq(header, ",") {
		tag = strings.TrimSpace(tag)
		if tag == "*" || strings.TrimPrefix(tag, "W/") == etag {
			return true
		}
	}
	return false
}
