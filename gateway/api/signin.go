package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"net/url"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

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
func (k *console) sendPlain(r *request, status int, name string, data any) {
	var b bytes.Buffer
	if err := k.plain.ExecuteTemplate(&b, name, data); err != nil {
		k.Log.Error("cannot write a page", "page", name, "cause", err)
	}
	r.http.Response.SetStatusCode(status)
	r.respond().SetContentType("text/html; charset=utf-8")
	r.respond().Set("Cache-Control", "no-store")
	securePage(r, plainPolicy())
	r.http.Response.SetBodyRaw(b.Bytes())
}

// errorPage shows a problem to a person who navigates or sends a form.
func (k *console) errorPage(r *request, p *problem) bool {
	if !r.accepts("text/html") || strings.HasPrefix(r.path(), "/v1/") && r.path() != "/v1/session" {
		return false
	}
	if p.Kind == faas.Unauthorized {
		detail := ""
		if r.cookie() != "" || r.method == fiber.MethodPost {
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
func (k *console) signInPage(_ *fiber.Ctx, r *request) error {
	code := r.query().text("code")
	if code == "" || r.method == fiber.MethodHead {
		k.sendPlain(r, fiber.StatusOK, "sign-in", "")
		return nil
	}
	_, signedIn := k.sessions.read(r.cookie())
	if !k.signIns.redeem(code) {
		if signedIn {
			return r.redirect("/")
		}
		k.sendPlain(r, fiber.StatusUnauthorized, "sign-in", "This link was used already, or is older than 10 minutes.")
		return nil
	}
	k.setSession(r)
	return r.redirect("/")
}

func (k *console) setSession(r *request) {
	value, ends := k.sessions.start()
	k.setCookie(r, value, ends)
}

func (k *console) setCookie(r *request, value string, ends time.Time) {
	var c fasthttp.Cookie
	c.SetKey(cookieName)
	c.SetValue(value)
	c.SetPath("/")
	c.SetExpire(ends)
	c.SetHTTPOnly(true)
	c.SetSecure(k.Secure)
	c.SetSameSite(fasthttp.CookieSameSiteStrictMode)
	r.respond().SetCookie(&c)
}

const maxSignInBytes = 16 << 10

// startSession signs in, by JSON or by the form.
func (k *console) startSession(_ *fiber.Ctx, r *request) error {
	media, _, err := r.mediaType()
	if err != nil {
		return err
	}
	body, err := r.readAll(maxSignInBytes)
	if err != nil {
		return err
	}
	var sent struct {
		Token string `json:"token"`
	}
	form := media == fiber.MIMEApplicationForm
	switch {
	case form:
		values, err := url.ParseQuery(string(body))
		if err != nil {
			return faas.Errorf(faas.Invalid, "the form is not encoded as it should be")
		}
		sent.Token = strings.TrimSpace(values.Get("token"))
	case media == fiber.MIMEApplicationJSON:
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
		return r.redirect("/")
	}
	return r.sendNothing()
}

func (k *console) endSession(_ *fiber.Ctx, r *request) error {
	k.sessions.end(r.cookie())
	k.setCookie(r, "", time.Unix(1, 0))
	return r.sendNothing()
}
