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

// plainPolicy is what browsers hold these pages to: it allows nothing but the pages' own style and form.
func plainPolicy() string {
	sum := sha256.Sum256([]byte(plainStyle))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
}

// sendPlain answers with one of the plain pages.
func (k *console) sendPlain(r *edge.Request, status int, name string, data any) {
	var b bytes.Buffer
	if err := k.plain.ExecuteTemplate(&b, name, data); err != nil {
		k.Log.Error("cannot write a page", "page", name, "cause", err)
	}
	r.Set("Content-Type", "text/html; charset=utf-8")
	r.Set("Cache-Control", "no-store")
	securePage(r, plainPolicy())
	r.Send(status, b.Bytes())
}

// errorPage shows a problem to a person who navigates or sends a form.
func (k *console) errorPage(r *edge.Request, p *problem) bool {
	if !accepts(r, "text/html") || strings.HasPrefix(r.Path(), "/v1/") && r.Path() != "/v1/session" {
		return false
	}
	if p.Kind == faas.Unauthorized {
		detail := ""
		if sessionCookie(r) != "" || r.Method() == http.MethodPost {
			detail = p.Detail
		}
		k.sendPlain(r, p.Status, "sign-in", detail)
		return true
	}
	k.sendPlain(r, p.Status, "problem", p)
	return true
}

// signInPage shows the form, or uses up the code of a one-time URL. A reload of
// such a URL by who it has signed in leads on.
func (k *console) signInPage(r *edge.Request) error {
	code := readQuery(r).text("code")
	if code == "" || r.Method() == http.MethodHead {
		k.sendPlain(r, http.StatusOK, "sign-in", "")
		return nil
	}
	_, signedIn := k.sessions.read(sessionCookie(r))
	if !k.signIns.redeem(code) {
		if signedIn {
			return redirectTo(r, "/")
		}
		k.sendPlain(r, http.StatusUnauthorized, "sign-in", "This link was used already, or is older than 10 minutes.")
		return nil
	}
	k.setSession(r)
	return redirectTo(r, "/")
}

func (k *console) setSession(r *edge.Request) {
	value, ends := k.sessions.start()
	k.setCookie(r, value, ends)
}

func (k *console) setCookie(r *edge.Request, value string, ends time.Time) {
	r.SetCookie(&http.Cookie{Name: cookieName, Value: value, Path: "/", Expires: ends, HttpOnly: true, Secure: k.Secure, SameSite: http.SameSiteStrictMode})
}

const maxSignInBytes = 16 << 10

// startSession signs in, by JSON or by the form.
func (k *console) startSession(r *edge.Request) error {
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
	if !k.token.opens(sent.Token) {
		return unauthorized("The token is not the right one.")
	}
	k.setSession(r)
	if form {
		return redirectTo(r, "/")
	}
	return sendNothing(r)
}

func (k *console) endSession(r *edge.Request) error {
	k.sessions.end(sessionCookie(r))
	k.setCookie(r, "", time.Unix(1, 0))
	return sendNothing(r)
}
