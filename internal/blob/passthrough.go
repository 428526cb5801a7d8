package blob

import (
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"
)

// NewPassThrough returns the handler of the download listener in front of an S3 store. It forwards GET and HEAD
// requests that have a signature in their query to target and streams the answers back. Host and URL stay unchanged,
// because the store checks the signature; of the headers it forwards only those of ranges and conditions. If target has
// a path, such as "/bucket", only URLs below it are forwarded. It answers 403 to a request without a signature and 405
// to another method.
//
// A redirect of the store is neither followed nor passed on: the answer is 502. Answers get nosniff, a sandbox, and the
// disposition of an attachment if the store set none, so that a browser only saves them.
func NewPassThrough(target *url.URL) http.Handler {
	proxy := &httputil.ReverseProxy{
		Rewrite:        func(r *httputil.ProxyRequest) { rewrite(r, target) },
		ModifyResponse: restrain,
		FlushInterval:  -1, // after every write
		Transport: &http.Transport{
			DialContext:           (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
			TLSHandshakeTimeout:   5 * time.Second,
			ResponseHeaderTimeout: 30 * time.Second,
			IdleConnTimeout:       30 * time.Second,
			MaxIdleConnsPerHost:   64,
			DisableCompression:    true, // the bytes are the object's
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
			refuse(w, http.StatusBadGateway, ErrUnavailable.Error())
		},
		ErrorLog: log.New(io.Discard, "", 0), // because callers often disconnect
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			w.Header().Set("Allow", "GET, HEAD")
			refuse(w, http.StatusMethodNotAllowed, "only GET and HEAD")
		case !presigned(r.URL) || !below(r.URL, target):
			refuse(w, http.StatusForbidden, errUnsigned.Error())
		default:
			proxy.ServeHTTP(w, r)
		}
	})
}

// presigned reports whether the query has all parameters of a signature (AWS Signature Version 4).
func presigned(u *url.URL) bool {
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return false
	}
	for _, name := range []string{
		"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders", "X-Amz-Signature",
	} {
		if values := query[name]; len(values) != 1 || values[0] == "" {
			return false
		}
	}
	return true
}

// below reports whether the path is an object's in the target, without empty and dot segments.
func below(u, target *url.URL) bool {
	rest, ok := strings.CutPrefix(u.Path, strings.TrimSuffix(target.Path, "/")+"/")
	return ok && validObjectPath(rest)
}

func validObjectPath(path string) bool {
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "" || segment == "." || segment == ".." {
			return false
		}
	}
	return true
}

// passed returns the headers that are forwarded. A presigned URL signs Host only, so it needs no other.
func passed() []string {
	return []string{
		"Accept", "If-Match", "If-Modified-Since", "If-None-Match", "If-Range", "If-Unmodified-Since", "Range",
	}
}

func rewrite(r *httputil.ProxyRequest, target *url.URL) {
	header := http.Header{"User-Agent": nil} // nil keeps net/http from sending its own
	for _, name := range passed() {
		if values := r.In.Header.Values(name); len(values) > 0 {
			header[name] = values
		}
	}
	r.Out.Header = header
	r.Out.URL.Scheme, r.Out.URL.Host = target.Scheme, target.Host
	r.Out.URL.RawQuery = r.In.URL.RawQuery // signed as it is
	r.Out.Host = r.In.Host
	r.Out.Body, r.Out.ContentLength, r.Out.TransferEncoding, r.Out.Trailer = nil, 0, nil, nil
}

var errRedirect = errors.New("the store answered with a redirect")

// restrain removes what a browser would act on.
func restrain(response *http.Response) error {
	if response.StatusCode >= 300 && response.StatusCode < 400 && response.StatusCode != http.StatusNotModified {
		return errRedirect
	}
	h := response.Header
	h.Del("Set-Cookie")
	h.Del("Server")
	harmless(h)
	if h.Get("Content-Disposition") == "" {
		h.Set("Content-Disposition", "attachment")
	}
	return nil
}
