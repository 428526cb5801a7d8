package blob

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"strings"
)

// RunnerHandler serves the URLs of SignRunnerGet and SignPut: GET and HEAD with ranges and conditions, and PUT with a
// Content-Length. The request's path must be the key alone, as behind http.StripPrefix. It answers 403 to a request
// without a valid signature for it and 411 to a PUT without Content-Length. A PUT whose body ends early stores nothing.
// The handler sets no timeouts: the server that it runs in does.
func (f *Folder) RunnerHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key, params, err := f.verify(forRunners, r)
		switch {
		case err != nil:
			refuse(w, http.StatusForbidden, err.Error())
		case r.Method == http.MethodPut:
			f.servePut(w, r, key)
		default:
			f.serveGet(w, r, key, params)
		}
	})
}

// PublicHandler serves the URLs of SignGet: GET and HEAD, as RunnerHandler does, and nothing else. A file that a
// command made cannot act in a browser, because the answer is an attachment, nosniff and sandboxed.
func (f *Folder) PublicHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key, params, err := f.verify(forPublic, r)
		if err != nil {
			refuse(w, http.StatusForbidden, err.Error())
			return
		}
		f.serveGet(w, r, key, params)
	})
}

func (f *Folder) serveGet(w http.ResponseWriter, r *http.Request, key Key, params url.Values) {
	file, info, err := f.openObject(key)
	if err != nil {
		f.answerError(w, r, key, err)
		return
	}
	defer func() { _ = file.Close() }()
	contentType := params.Get(paramType)
	if contentType == "" {
		contentType = info.ContentType
	}
	harmless(w.Header())
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Disposition", attachment(params.Get(paramFilename)))
	w.Header().Set("Cache-Control", "private, no-cache")
	w.Header().Set("ETag", `"`+info.ETag+`"`)
	http.ServeContent(w, r, "", info.ModifiedAt, &content{File: file, size: info.Size})
}

// content is an object's file without its trailer. It embeds *os.File so that net/http can use sendfile. ServeContent
// asks Seek for the size and reads no further.
type content struct {
	*os.File
	size int64
}

func (c *content) Seek(offset int64, whence int) (int64, error) {
	if whence == io.SeekEnd {
		offset, whence = c.size+offset, io.SeekStart
	}
	return c.File.Seek(offset, whence)
}

func (f *Folder) servePut(w http.ResponseWriter, r *http.Request, key Key) {
	// net/http reports length 0 for a request without Content-Length too, so the header is checked as well.
	if r.ContentLength < 0 || r.Header.Get("Content-Length") == "" {
		w.Header().Set("Connection", "close")
		refuse(w, http.StatusLengthRequired, "an upload needs a Content-Length")
		return
	}
	o := PutOptions{ContentType: r.Header.Get("Content-Type")}
	if err := o.check(); err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	info, err := f.putAs(r.Context(), written, key, r.Body, r.ContentLength, o)
	if err != nil {
		f.answerError(w, r, key, err)
		return
	}
	w.Header().Set("ETag", `"`+info.ETag+`"`)
	w.WriteHeader(http.StatusOK)
}

// answerError answers without the cause, which it logs.
func (f *Folder) answerError(w http.ResponseWriter, r *http.Request, key Key, err error) {
	switch {
	case errors.Is(err, ErrNotFound):
		refuse(w, http.StatusNotFound, ErrNotFound.Error())
	case errors.Is(err, ErrInvalidKey):
		refuse(w, http.StatusBadRequest, ErrInvalidKey.Error())
	case errors.Is(err, ErrMismatch), errors.Is(err, io.ErrUnexpectedEOF), r.Context().Err() != nil:
		refuse(w, http.StatusBadRequest, "the body ended early")
	case errors.Is(err, ErrUnavailable):
		f.o.Log.ErrorContext(r.Context(), "a request to the object store failed", "method", r.Method, "key", string(key), "error", err)
		w.Header().Set("Retry-After", "1")
		refuse(w, http.StatusServiceUnavailable, ErrUnavailable.Error())
	default:
		f.o.Log.ErrorContext(r.Context(), "a request to the object store failed", "method", r.Method, "key", string(key), "error", err)
		refuse(w, http.StatusInternalServerError, "the object could not be served")
	}
}

func refuse(w http.ResponseWriter, status int, text string) {
	harmless(w.Header())
	http.Error(w, text, status)
}

// harmless sets the headers with which a browser only saves an answer.
func harmless(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "sandbox")
}

// attachment returns a Content-Disposition in ASCII for any file name (RFC 6266). Slashes become underscores, because
// browsers use the last segment only, and MinIO refuses dot segments anywhere in a signed URL.
func attachment(filename string) string {
	if filename == "" {
		return "attachment"
	}
	filename = strings.NewReplacer("/", "_", `\`, "_").Replace(filename)
	if value := mime.FormatMediaType("attachment", map[string]string{"filename": filename}); value != "" {
		return value
	}
	return "attachment"
}
