package api

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
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

// bearer returns the token of the Authorization header; there reports whether the request has an Authorization header,
// with any scheme.
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
	defaultTTL   = 24 * time.Hour
	sessionBytes = sessionHead + sha256.Size
)

func newSessions(secret []byte, token string, ttl time.Duration, store SessionStore, now func() time.Time) *sessions {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("session:"))
	mac.Write([]byte(token))
	return &sessions{key: mac.Sum(nil), ttl: cmp.Or(ttl, defaultTTL), store: store, now: now}
}

func (s *sessions) sign(head []byte) []byte {
	mac := hmac.New(sha256.New, s.key)
	mac.Write(head)
	return mac.Sum(nil)
}

// start starts a session and returns its cookie.
func (s *sessions) start(ctx context.Context) (cookie string, ends time.Time, err error) {
	ends = s.now().Add(s.ttl)
	head := make([]byte, sessionHead)
	binary.BigEndian.PutUint64(head, uint64(ends.Unix())) //nolint:gosec // after 1970
	_, _ = rand.Read(head[8:])                            // never fails
	if err := s.store.StartSession(ctx, sessionID(head), s.ttl); err != nil {
		return "", time.Time{}, fmt.Errorf("start a session: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(append(head, s.sign(head)...)), ends, nil
}

// sessionID returns the name of a session in the store. The name does not open the session, because the cookie is
// signed.
func sessionID(head []byte) string { return hex.EncodeToString(head[8:sessionHead]) }

// verify returns the ID of the session that the cookie was made for; ok is false for a cookie that is forged or has
// expired.
func (s *sessions) verify(cookie string) (id string, ok bool) {
	if len(cookie) != base64.RawURLEncoding.EncodedLen(sessionBytes) {
		return "", false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(cookie)
	if err != nil || !hmac.Equal(s.sign(b[:sessionHead]), b[sessionHead:]) {
		return "", false
	}
	ends := time.Unix(int64(binary.BigEndian.Uint64(b)), 0) //nolint:gosec // signed by us
	return sessionID(b), s.now().Before(ends)
}

// opens reports whether the cookie is that of a session that has not ended.
func (s *sessions) opens(ctx context.Context, cookie string) (bool, error) {
	id, ok := s.verify(cookie)
	if !ok {
		return false, nil
	}
	there, err := s.store.HasSession(ctx, id)
	if err != nil {
		return false, fmt.Errorf("check a session: %w", err)
	}
	return there, nil
}

// end ends the session of the cookie on every gateway.
func (s *sessions) end(ctx context.Context, cookie string) error {
	id, ok := s.verify(cookie)
	if !ok {
		return nil
	}
	if err := s.store.EndSession(ctx, id); err != nil {
		return fmt.Errorf("end a session: %w", err)
	}
	return nil
}

const (
	signInMost  = 10 * time.Minute
	mostSignIns = 1000
)

func newSignIns(now func() time.Time) *signIns {
	return &signIns{now: now, codes: make(map[[sha256.Size]byte]time.Time)}
}

// newCode returns a new code. It returns a Limited error while mostSignIns codes can still be redeemed, because each of
// them may be another person's.
func (s *signIns) newCode() (string, error) {
	code := rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	maps.DeleteFunc(s.codes, func(_ [sha256.Size]byte, ends time.Time) bool { return !now.Before(ends) })
	if len(s.codes) >= mostSignIns {
		return "", &faas.Error{
			Kind: faas.Limited, RetryAfter: signInMost,
			Detail: fmt.Sprintf("%d sign-in codes wait to be used; use one of them, or try again when they have expired, in %s", mostSignIns, signInMost),
		}
	}
	s.codes[sha256.Sum256([]byte(code))] = now.Add(signInMost)
	return code, nil
}

// redeem makes code invalid. ok reports whether it signs in, and ends is when it would have expired.
func (s *signIns) redeem(code string) (ends time.Time, ok bool) {
	key := sha256.Sum256([]byte(code))
	s.mu.Lock()
	defer s.mu.Unlock()
	ends, ok = s.codes[key]
	delete(s.codes, key)
	return ends, ok && s.now().Before(ends)
}

// restore makes a redeemed code valid again, because it has signed nobody in.
func (s *signIns) restore(code string, ends time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.codes[sha256.Sum256([]byte(code))] = ends
}

// guarded returns a handler that calls h unless the request may come from a page of another site.
func (k *console) guarded(h handler) handler {
	return func(r *edge.Request) error {
		if err := k.guard.check(r); err != nil {
			return err
		}
		return h(r)
	}
}

// authenticated returns a guarded handler that calls h only for requests with the admin token or a session.
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
		open, err := k.signIn.sessions.opens(r.Context(), cookie)
		if open || err != nil {
			return err
		}
		return unauthorized("the session has ended: sign in again")
	}
	return unauthorized("send the token as \"Authorization: Bearer …\", or sign in")
}

func sessionCookie(r *edge.Request) string { return r.Cookie(cookieName) }
