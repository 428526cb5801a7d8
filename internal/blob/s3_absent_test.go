package blob_test

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httputil"
	"net/url"
	"testing"

	"davit/internal/blob"
	"davit/internal/testenv"
)

// A Put with IfAbsent whose answer is lost still reports correctly whether it has stored its object.
func TestS3IfAbsentWithoutAnAnswer(t *testing.T) {
	onEachServer(t, func(t *testing.T, server *testenv.S3Server) {
		o := s3Options(t, server)
		openS3(t, o)
		proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: server.Endpoint})
			r.Out.Host = r.In.Host // because it is signed
		}}
		through := o
		through.Endpoint = serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			proxy.ServeHTTP(w, r)
			if r.Method == http.MethodPut && r.URL.Path != "/"+o.Bucket+"/" {
				panic(http.ErrAbortHandler)
			}
		}))
		store := openS3(t, through)
		for _, size := range []int{10, 300 << 10} {
			for i, want := range []error{nil, blob.ErrExists} {
				key := blob.Key([]string{"small", "large"}[min(size/1000, 1)])
				body := bytes.Repeat([]byte{byte('a' + i)}, size)
				_, err := store.Put(t.Context(), key, bytes.NewReader(body), int64(size), blob.PutOptions{IfAbsent: true})
				if !errors.Is(err, want) {
					t.Errorf("put %d of %d bytes: %v, want %v", i+1, size, err, want)
				}
				if got := read(t, store, key); len(got) != size || got[0] != 'a' {
					t.Errorf("after put %d: the object has %d bytes of %q", i+1, len(got), got[:1])
				}
			}
		}
	})
}
