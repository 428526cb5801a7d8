package api

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"davit/internal/faas"
)

// signedInCookie returns the session's cookie of an answer.
func signedInCookie(t *testing.T, a *answer) string {
	t.Helper()
	for _, c := range a.Cookies() {
		if c.Name == cookieName {
			if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" {
				t.Fatalf("cookie %v", c)
			}
			return cookieName + "=" + c.Value
		}
	}
	t.Fatalf("no cookie in %v", a.Header)
	return ""
}

func TestSessions(t *testing.T) {
	u := startConsole(t, Limits{})
	got := u.do("POST", "/v1/session", strings.NewReader(fmt.Sprintf(`{"token": %q}`, testToken)), "Content-Type", "application/json")
	cookie := signedInCookie(t, got)
	if got.StatusCode != 204 || strings.Contains(cookie, testToken) {
		t.Fatalf("got %d %s", got.StatusCode, cookie)
	}
	with := func(cookie string) int { return u.do("GET", "/v1/functions", nil, "Cookie", cookie).StatusCode }
	if with(cookie) != 200 || with("a=b; "+cookie) != 200 {
		t.Fatal("the cookie does not open")
	}
	value := strings.TrimPrefix(cookie, cookieName+"=")
	for i := range value {
		forged := value[:i] + string(rune('A'+(value[i]+1)%26)) + value[i+1:]
		if forged != value && with(cookieName+"="+forged) != 401 {
			t.Fatalf("forged at %d opens", i)
		}
	}
	// A wrong token beside a good cookie is wrong.
	if got := u.do("GET", "/v1/functions", nil, "Cookie", cookie, "Authorization", "Bearer nope"); got.StatusCode != 401 {
		t.Fatalf("got %d", got.StatusCode)
	}
	got = u.do("DELETE", "/v1/session", nil, "Cookie", cookie)
	if got.StatusCode != 204 || with(cookie) != 401 {
		t.Fatalf("signed out: %d, then %d", got.StatusCode, with(cookie))
	}
	form := url.Values{"token": {" " + testToken + "\n"}}.Encode()
	got = u.do("POST", "/v1/session", strings.NewReader(form), "Content-Type", "application/x-www-form-urlencoded", "Accept", "text/html")
	if got.StatusCode != 303 || got.Header.Get("Location") != "/" {
		t.Fatalf("form: %d", got.StatusCode)
	}
	cookie = signedInCookie(t, got)
	u.passes(defaultTTL - time.Minute)
	if with(cookie) != 200 {
		t.Fatal("ends too early")
	}
	u.passes(2 * time.Minute)
	if with(cookie) != 401 {
		t.Fatal("does not end")
	}
	got = u.do("POST", "/v1/session", strings.NewReader("token=nope"), "Content-Type", "application/x-www-form-urlencoded", "Accept", "text/html")
	if got.StatusCode != 401 || !strings.Contains(string(got.body), "<form") || !strings.Contains(string(got.body), "not the right one") || len(got.Cookies()) > 0 {
		t.Fatalf("wrong token: %d %s", got.StatusCode, got.body)
	}
	for body, media := range map[string]string{
		`{"token": "nope"}`: "application/json", `{"token": ""}`: "application/json", `{}`: "application/json",
	} {
		u.do("POST", "/v1/session", strings.NewReader(body), "Content-Type", media).wantProblem(t, 401, faas.Unauthorized)
	}
	u.do("POST", "/v1/session", strings.NewReader(`{"token": 3}`), "Content-Type", "application/json").wantProblem(t, 400, faas.Invalid)
	u.do("POST", "/v1/session", strings.NewReader(testToken), "Content-Type", "text/plain").wantProblem(t, 400, faas.Invalid)
	u.do("POST", "/v1/session", strings.NewReader("token="+strings.Repeat("x", 20<<10)), "Content-Type", "application/x-www-form-urlencoded").wantProblem(t, 413, faas.TooLarge)
}

func TestSigningOutEndsASessionOnEveryGateway(t *testing.T) {
	u := startConsole(t, Limits{})
	other := u.another(t)
	signIn := func() string {
		return signedInCookie(t, u.do("POST", "/v1/session", strings.NewReader("token="+testToken), "Content-Type", "application/x-www-form-urlencoded"))
	}
	cookie, kept := signIn(), signIn()
	with := func(u *consoleUnderTest, cookie string) int {
		return u.do("GET", "/v1/functions", nil, "Cookie", cookie).StatusCode
	}
	if with(u, cookie) != 200 || with(other, cookie) != 200 {
		t.Fatal("a gateway does not accept the session")
	}
	if got := other.do("DELETE", "/v1/session", nil, "Cookie", cookie); got.StatusCode != 204 {
		t.Fatalf("signing out: %d", got.StatusCode)
	}
	if a, b := with(u, cookie), with(other, cookie); a != 401 || b != 401 {
		t.Fatalf("signed out: %d and %d", a, b)
	}
	if with(u, kept) != 200 || with(other, kept) != 200 {
		t.Fatal("another session has ended too")
	}
}

func TestNoSessionReopens(t *testing.T) {
	now := func() time.Time { return testTime() }
	s := newSessions([]byte("secret"), "token", 0, &fakeSessions{now: now, ends: map[string]time.Time{}}, now)
	cookies := make([]string, 20_000)
	for i := range cookies {
		var err error
		if cookies[i], _, err = s.start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.end(t.Context(), cookies[i]); err != nil {
			t.Fatal(err)
		}
	}
	for i, cookie := range cookies {
		if open, err := s.opens(t.Context(), cookie); open || err != nil {
			t.Fatalf("session %d: open %v, %v", i, open, err)
		}
	}
}

func TestSessionsNeedTheirStore(t *testing.T) {
	u := startConsole(t, Limits{})
	form := []string{"Content-Type", "application/x-www-form-urlencoded"}
	cookie := signedInCookie(t, u.do("POST", "/v1/session", strings.NewReader("token="+testToken), form...))
	path := "/sign-in?code=" + u.signInCode()
	u.sessions.fail(faas.UnavailableError("Redis does not answer", time.Second, errAway))
	u.do("POST", "/v1/session", strings.NewReader("token="+testToken), form...).wantProblem(t, 503, faas.Unavailable, "Redis")
	u.do("GET", "/v1/functions", nil, "Cookie", cookie).wantProblem(t, 503, faas.Unavailable, "Redis")
	u.do("GET", "/v1/functions", nil, "Cookie", cookieName+"=x").wantProblem(t, 401, faas.Unauthorized)
	for _, got := range []*answer{u.do("DELETE", "/v1/session", nil, "Cookie", cookie), u.do("GET", path, nil)} {
		if got.wantProblem(t, 503, faas.Unavailable, "Redis"); len(got.Cookies()) > 0 {
			t.Fatalf("cookies %v", got.Cookies())
		}
	}
	if got := u.as("GET", "/v1/functions", nil); got.StatusCode != 200 {
		t.Fatalf("with the token: %d", got.StatusCode)
	}
	u.sessions.fail(nil)
	if got := u.do("GET", "/v1/functions", nil, "Cookie", cookie); got.StatusCode != 200 {
		t.Fatalf("after a sign-out that failed: %d", got.StatusCode)
	}
	if got := u.do("GET", path, nil); got.StatusCode != 303 {
		t.Fatalf("a code that signed nobody in: %d", got.StatusCode)
	}
}

func TestSessionsEndWithTheToken(t *testing.T) {
	now := func() time.Time { return testTime() }
	store := &fakeSessions{now: now, ends: map[string]time.Time{}}
	cookie, _, err := newSessions([]byte("secret"), "token", 0, store, now).start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]*sessions{
		"another token":  newSessions([]byte("secret"), "other", 0, store, now),
		"another secret": newSessions([]byte("terces"), "token", 0, store, now),
	} {
		if open, err := s.opens(t.Context(), cookie); open || err != nil {
			t.Errorf("%s: open %v, %v", name, open, err)
		}
	}
	if open, err := newSessions([]byte("secret"), "token", 0, store, now).opens(t.Context(), cookie); !open || err != nil {
		t.Errorf("another gateway: open %v, %v", open, err)
	}
}

func TestSignInCodesAreNeverDroppedAlive(t *testing.T) {
	u := startConsole(t, Limits{})
	first := u.signInCode()
	for range mostSignIns - 1 {
		u.signInCode()
	}
	if code, err := u.console.NewSignInCode(); code != "" || faas.KindOf(err) != faas.Limited {
		t.Fatalf("one too many: %q, %v", code, err)
	}
	if got := u.do("GET", "/sign-in?code="+first, nil); got.StatusCode != 303 {
		t.Fatalf("the first code: %d", got.StatusCode)
	}
	last := u.signInCode() // in the place of the first
	if _, err := u.console.NewSignInCode(); faas.KindOf(err) != faas.Limited {
		t.Fatalf("one too many again: %v", err)
	}
	u.passes(signInMost)
	fresh := u.signInCode()
	for code, status := range map[string]int{last: 401, fresh: 303} {
		if got := u.do("GET", "/sign-in?code="+code, nil); got.StatusCode != status {
			t.Errorf("after %s: %d, want %d", signInMost, got.StatusCode, status)
		}
	}
}

func TestOneTimeSignIn(t *testing.T) {
	u := startConsole(t, Limits{})
	path := "/sign-in?code=" + u.signInCode()
	if got := u.do("HEAD", path, nil); got.StatusCode != 200 || len(got.Cookies()) > 0 {
		t.Fatalf("HEAD: %d", got.StatusCode)
	}
	got := u.do("GET", path, nil)
	cookie := signedInCookie(t, got)
	if got.StatusCode != 303 || got.Header.Get("Location") != "/" {
		t.Fatalf("got %d", got.StatusCode)
	}
	if got := u.do("GET", path, nil); got.StatusCode != 401 || len(got.Cookies()) > 0 || !strings.Contains(string(got.body), "<form") {
		t.Fatalf("again: %d", got.StatusCode)
	}
	if got := u.do("GET", path, nil, "Cookie", cookie); got.StatusCode != 303 {
		t.Fatalf("a reload: %d", got.StatusCode)
	}
	late := "/sign-in?code=" + u.signInCode()
	u.passes(10*time.Minute + time.Second)
	if got := u.do("GET", late, nil); got.StatusCode != 401 {
		t.Fatalf("late: %d", got.StatusCode)
	}
	u.do("GET", "/sign-in?code=%20", nil)
	if got := u.do("GET", "/", nil, "Cookie", cookie); got.StatusCode != 200 {
		t.Fatalf("the page: %d", got.StatusCode)
	}
}
