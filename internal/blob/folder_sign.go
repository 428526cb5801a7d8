package blob

import (
	"context"
	"crypto/hmac"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// A signed URL of a Folder is BASE/KEY?expires=…&signature=…; a public download also has filename and type. The
// signature is an HMAC-SHA256 of the audience, the method, the key, and the rest of the query, so that nothing can be
// changed, added or left out.
const (
	paramExpires   = "expires" // seconds since 1970
	paramFilename  = "filename"
	paramType      = "type"
	paramSignature = "signature"
)

// audience is the listener that a URL is signed for: the other one refuses it.
type audience string

const (
	forPublic  audience = "public"
	forRunners audience = "runners"
)

// SignGet implements Signer.
func (f *Folder) SignGet(_ context.Context, key Key, ttl time.Duration, o SignOptions) (string, error) {
	params := url.Values{}
	if o.Filename != "" {
		params.Set(paramFilename, o.Filename)
	}
	if o.ContentType != "" {
		params.Set(paramType, o.ContentType)
	}
	return f.sign(forPublic, http.MethodGet, key, ttl, params)
}

// SignRunnerGet implements Signer.
func (f *Folder) SignRunnerGet(_ context.Context, key Key, ttl time.Duration) (string, error) {
	return f.sign(forRunners, http.MethodGet, key, ttl, url.Values{})
}

// SignPut implements Signer. On a Folder one PUT can have any size.
func (f *Folder) SignPut(_ context.Context, key Key, ttl time.Duration) (string, error) {
	return f.sign(forRunners, http.MethodPut, key, ttl, url.Values{})
}

func (f *Folder) sign(who audience, method string, key Key, ttl time.Duration, params url.Values) (string, error) {
	base := f.o.PublicBase
	if who == forRunners {
		base = f.o.RunnerBase
	}
	fail := func(err error) (string, error) {
		return "", fmt.Errorf("sign %s of object %s: %w", method, quote(string(key)), err)
	}
	if err := key.Validate(); err != nil {
		return fail(err)
	}
	if err := checkTTL(ttl); err != nil {
		return fail(err)
	}
	if base == nil {
		return fail(errors.New("the store was opened without an address for such URLs"))
	}
	expires := f.o.Now().Add(ttl.Truncate(time.Second)).Unix()
	params.Set(paramExpires, strconv.FormatInt(expires, 10))
	params.Set(paramSignature, f.signature(who, method, key, params))
	path := (&url.URL{Path: "/" + string(key)}).EscapedPath()
	return strings.TrimSuffix(base(), "/") + path + "?" + params.Encode(), nil
}

// signature signs params, which must contain no signature. No field can run into the next, because audience, method and
// key have no line break, and the query is escaped.
func (f *Folder) signature(who audience, method string, key Key, params url.Values) string {
	mac, _ := f.macs.Get().(hash.Hash)
	defer f.macs.Put(mac)
	mac.Reset()
	var b [512]byte
	text := append(b[:0], "davit object url 1\n"...)
	for _, field := range []string{string(who), method, string(key)} {
		text = append(append(text, field...), '\n')
	}
	_, _ = mac.Write(append(text, params.Encode()...))
	return hex.EncodeToString(mac.Sum(text[:0]))
}

var (
	errUnsigned = errors.New("this address is not signed for this request")
	errExpired  = errors.New("this address has expired")
)

// verify checks the signature of a request and returns its key and parameters. HEAD is allowed where GET is.
func (f *Folder) verify(who audience, r *http.Request) (Key, url.Values, error) {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	key := Key(strings.TrimPrefix(r.URL.Path, "/"))
	params, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil || key.Validate() != nil {
		return "", nil, errUnsigned
	}
	given := params.Get(paramSignature)
	if len(params[paramSignature]) != 1 {
		return "", nil, errUnsigned
	}
	params.Del(paramSignature)
	if !hmac.Equal([]byte(given), []byte(f.signature(who, method, key, params))) {
		return "", nil, errUnsigned
	}
	expires, err := strconv.ParseInt(params.Get(paramExpires), 10, 64)
	if err != nil || f.o.Now().Unix() >= expires {
		return "", nil, errExpired
	}
	return key, params, nil
}

func checkTTL(ttl time.Duration) error {
	if ttl < time.Second || ttl > MaxTTL {
		return fmt.Errorf("a URL valid for %v: allowed is 1s to %v", ttl, MaxTTL)
	}
	return nil
}
