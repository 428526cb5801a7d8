package api

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"strings"
	"time"

	"davit/gateway/edge"
	"davit/internal/faas"
)

// cookieName is the name of the session's cookie.
const cookieName = "davit_session"

func newTokenCheck(token string) *tokenCheck {
	if token == "" {
		return nil // opens nothing
	}
	sum := tokenCheck(sha256.Sum256([]byte(token)))
	return &sum
}

func (t *tokenCheck) opens(token string) bool {
	if t == nil || token == "" {
		return false
	}
	sum := sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(sum[:], t[:]) == 1
}

// bearer returns the token of the Authorization header; there reports whether the request
// has an Authorization header, with any scheme.
func bearer(r *edge.Request) (token string, there bool) {
	v := r.Header("Authorization")
	scheme, token, _ := strings.Cut(v, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", v != ""
	}
	return strings.TrimSpace(token), true
}

func unauthorized(detail string) error { return &faas.Error{Kind: faas.Unauthorized, Detail: detail} }

const (
	sessionHead  = 8 + 16 // the expiry in seconds, and random bytes
	mostEnded    = 10_000
	defaultTTL   = 24 * time.Hour
	sessionBytes = sessionHead + sha256.Size
)

func newSessions(secret []byte, token string, ttl time.Duration, now func() time.Time) *sessions {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("session:"))
	mac.Write([]byte(token))
	return &sessions{key: mac.Sum(nil), ttl: orDefault(ttl, defaultTTL), now: now, ended: make(map[string]time.Time)}
}

func (s *sessions) sign(head []byte) []byte {
	mac := hmac.New(sha256.New, s.key)
	mac.Write(head)
	return mac.Sum(nil)
}

// start returns the cookie of a new session.
func (s *sessions) start() (cookie string, ends time.Time) {
	ends = s.now().Add(s.ttl)
	head := make([]byte, sessionHead)
	binary.BigEndian.PutUint64(head, uint64(ends.Unix())) //nolint:gosec // after 1970
	_, _ = rand.Read(head[8:])                            // never fails
	return base64.RawURLEncoding.EncodeToString(append(head, s.sign(head)...)), ends
}

// read returns when a session ends; ok is false for a session that is forged or has ended.
func (s *sessions) read(cookie string) (ends time.Time, ok bool) {
	if len(cookie) != base64.RawURLEncoding.EncodedLen(sessionBytes) {
		return time.Time{}, false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(cookie)
	if err != nil || !hmac.Equal(s.sign(b[:sessionHead]), b[sessionHead:]) {
		return time.Time{}, false
	}
	ends = time.Unix(int64(binary.BigEndian.Uint64(b)), 0) //nolint:gosec // signed by us
	s.mu.Lock()
	defer s.mu.Unlock()
	_, over := s.ended[cookie]
	return ends, !over && s.now().Before(ends)
}

// end ends a session on this gateway; other gateways accept its cookie until it expires.
func (s *sessions) end(cookie string) {
	ends, ok := s.read(cookie)
	if !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for old, at := range s.ended {
		if len(s.ended) >= mostEnded || !s.now().Before(at) {
			delete(s.ended, old)
		}
	}
	s.ended[cookie] = ends
}

const (
	signInMost  = 10 * time.Minute
	mostSignIns = 1000
)

func newSignIns(now func() time.Time) *signIns {
	return &signIns{now: now, codes: make(map[[sha256.Size]byte]time.Time)}
}

func (s *signIns) newCode() string {
	code := rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	for old, ends := range s.codes {
		if len(s.codes) >= mostSignIns || !s.now().Before(ends) {
			delete(s.codes, old)
		}
	}
	s.codes[sha256.Sum256([]byte(code))] = s.now().Add(signInMost)
	return code
}

// redeem reports whether code signs in, and makes it invalid.
func (s *signIns) redeem(code string) bool {
	key := sha256.Sum256([]byte(code))
	s.mu.Lock()
	defer s.mu.Unlock()
	ends, ok := s.codes[key]
	delete(s.codes, key)
	return ok && s.now().Before(ends)
}

// guarded returns a handler that calls h unless the request may come from a page of
// another site.
func (k *console) guarded(h handler) handler {
	return func(r *edge.Request) error {
		if err := k.guard.check(r); err != nil {
			return err
		}
		return h(r)
	}
}

// authenticated returns a guarded handler that calls h only for requests with the admin
// token or a session.
func (k *console) authenticated(h handler) handler {
	return k.guarded(func(r *edge.Request) error {
		if err := k.signedIn(r); err != nil {
			return err
		}
		return h(r)
	})
}

// signedIn returns nil for a request with the admin token or a session.
func (k *console) signedIn(r *edge.Request) error {
	if token, there := bearer(r); there {
		if k.signIn.token.opens(token) {
			return nil
		}
		return unauthorized("the token in the Authorization header is not the right one")
	}
	if cookie := sessionCookie(r); cookie != "" {
		if _, ok := k.signIn.sessions.read(cookie); ok {
			return nil
		}
		return unauthorized("the session has ended: sign in again")
	}
	return unauthorized("send the token as \"Authorization: Bearer …\", or sign in")
}

func sessionCookie(r *edge.Request) string { return r.Cookie(cookieName) }
