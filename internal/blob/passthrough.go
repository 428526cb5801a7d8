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

// NewPassThrough makes the handler of the download listener that stands before an S3 store: it passes GET
// and HEAD requests that carry a signature in their query on to target and streams the answers back. The
// signature is the store's to check, so Host and URL go through unchanged; nothing else that a caller
// sends does but the headers for ranges and conditions. If target has a path, such as "/bucket", only
// what is below it is passed. A request without signature is 403, another method 405.
//
// Redirects of the store are not followed and not passed on. Answers get what keeps a browser from acting
// on them: nosniff, a sandbox, and an attachment's disposition if the store set none.
func NewPassThrough(target *url.URL) http.Handler {
	proxy := &httputil.ReverseProxy{
		Rewrite:        func(r *httputil.ProxyRequest) { rewrite(r, target) },
		ModifyResponse: restrain,
		FlushInterval:  -1, // as it comes
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
		ErrorLog: log.New(io.Discard, "", 0), // callers that hang up are not news
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

// presigned tells whether the query carries the parts of a signature (AWS Signature Version 4).
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

// below tells whether the path is that of an object in the target, in the one way to write it.
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

// passed are the only headers that go through: presigned URLs sign no other than Host.
func passed() []string {
	return []string{
		"Accept", "If-Match", "If-Modified-Since", "If-None-Match", "If-Range", "If-Unmodified-Since", "Range",
	}
}

func rewrite(r *httputil.ProxyRequest, target *url.URL) {
	header := http.Header{"User-Agent": nil} // nil: none is sent, not net/http's
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

// restrain makes an answer harmless.
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
