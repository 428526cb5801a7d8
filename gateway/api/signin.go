package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"time"

	"davit/gateway/edge"
	"davit/internal/faas"
)

func newPlainPages() *template.Template {
	return template.Must(template.New("").Parse(plainPages))
}

// plainPolicy returns the policy of the plain pages: it allows nothing but their style and their forms.
func plainPolicy() string {
	sum := sha256.Sum256([]byte(plainStyle))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
}

// sendPlain answers with one of the plain pages.
func (si *signIn) sendPlain(r *edge.Request, status int, name string, data any) {
	var b bytes.Buffer
	if err := si.plain.ExecuteTemplate(&b, name, data); err != nil {
		si.log.Error("writing a page failed", "page", name, "error", err)
	}
	r.Set("Content-Type", "text/html; charset=utf-8")
	r.Set("Cache-Control", "no-store")
	securePage(r, plainPolicy())
	r.Send(status, b.Bytes())
}

// errorPage shows a problem to a person who navigates or sends a form.
func (si *signIn) errorPage(r *edge.Request, p *problem) bool {
	if !accepts(r, "text/html") || strings.HasPrefix(r.Path(), "/v1/") && r.Path() != "/v1/session" {
		return false
	}
	if p.Kind == faas.Unauthorized {
		detail := ""
		if sessionCookie(r) != "" || r.Method() == http.MethodPost {
			detail = p.Detail
		}
		si.sendPlain(r, p.Status, "sign-in", detail)
		return true
	}
	si.sendPlain(r, p.Status, "problem", p)
	return true
}

// show answers with the sign-in form, or redeems the code of a one-time URL. If the code is used up but the request has
// a session, show redirects to the page, because the browser may have reloaded the URL.
func (si *signIn) show(r *edge.Request) error {
	code := readQuery(r).text("code")
	if code == "" || r.Method() == http.MethodHead {
		si.sendPlain(r, http.StatusOK, "sign-in", "")
		return nil
	}
	ends, ok := si.codes.redeem(code)
	if !ok {
		if open, err := si.sessions.opens(r.Context(), sessionCookie(r)); err != nil {
			return err
		} else if open {
			return redirectTo(r, "/")
		}
		si.sendPlain(r, http.StatusUnauthorized, "sign-in", "This link was used already, or is older than 10 minutes.")
		return nil
	}
	if err := si.setSession(r); err != nil {
		si.codes.restore(code, ends)
		return err
	}
	return redirectTo(r, "/")
}

func (si *signIn) setSession(r *edge.Request) error {
	value, ends, err := si.sessions.start(r.Context())
	if err != nil {
		return err
	}
	si.setCookie(r, value, ends)
	return nil
}

func (si *signIn) setCookie(r *edge.Request, value string, ends time.Time) {
	r.SetCookie(&http.Cookie{Name: cookieName, Value: value, Path: "/", Expires: ends, HttpOnly: true, Secure: si.secure, SameSite: http.SameSiteStrictMode}) //nolint:gosec // without TLS, a secure cookie would never be sent
}

const maxSignInBytes = 16 << 10

// start starts a session for a caller that sends the token as JSON or as a form.
func (si *signIn) start(r *edge.Request) error {
	media, _, err := mediaType(r)
	if err != nil {
		return err
	}
	body, err := readAll(r, maxSignInBytes)
	if err != nil {
		return err
	}
	var sent struct {
		Token string `json:"token"`
	}
	form := media == mediaForm
	switch {
	case form:
		values, err := url.ParseQuery(string(body))
		if err != nil {
			return faas.Errorf(faas.Invalid, "the form is not encoded as it should be")
		}
		sent.Token = strings.TrimSpace(values.Get("token"))
	case media == mediaJSON:
		if err := decodeJSON(body, &sent); err != nil {
			return err
		}
	default:
		return faas.Errorf(faas.Invalid, "send the token as application/json, {\"token\": \"…\"}, or as a form")
	}
	if !si.token.opens(sent.Token) {
		return unauthorized("The token is not the right one.")
	}
	if err := si.setSession(r); err != nil {
		return err
	}
	if form {
		return redirectTo(r, "/")
	}
	return sendNothing(r)
}

// end signs out on every gateway, also when the caller goes meanwhile. If it fails, the browser keeps the cookie, so
// that the user can try again.
func (si *signIn) end(r *edge.Request) error {
	if err := si.sessions.end(r.LastingContext(), sessionCookie(r)); err != nil {
		return err
	}
	si.setCookie(r, "", time.Unix(1, 0))
	return sendNothing(r)
}
