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

// The few pages that the gateway writes itself: they work without scripts, and
// for who is not signed in.
const plainStyle = `body{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:12vh auto;padding:0 1rem;color:#1b1f24;background:#fff}
h1{font-size:1.4rem}label,input,button{display:block;width:100%;box-sizing:border-box;font:inherit}
input,button{margin:.4rem 0 1rem;padding:.55rem .7rem;border:1px solid #6b7380;border-radius:6px;background:inherit;color:inherit}
button{cursor:pointer;background:#0b57d0;border-color:#0b57d0;color:#fff}a{color:#0b57d0}
.wrong{border-left:4px solid #b3261e;padding:.2rem .8rem}pre{overflow:auto;padding:.6rem;border:1px solid #6b7380;border-radius:6px}
@media(prefers-color-scheme:dark){body{background:#14171a;color:#e6e8ea}a{color:#8ab4f8}}`

const plainPages = `{{define "head"}}<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.}}</title><style>` + plainStyle + `</style></head><body><main>{{end}}
{{define "sign-in"}}{{template "head" "Sign in to Davit"}}<h1>Sign in to Davit</h1>
{{with .}}<p class="wrong" role="alert">{{.}}</p>{{end}}
<form method="post" action="/v1/session"><label for="token">Token</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
<button>Sign in</button></form>
<p>The program that started Davit has printed the file that holds the token, as DAVIT_TOKEN_FILE, and a link that signs in once.</p>
</main></body></html>{{end}}
{{define "problem"}}{{template "head" .Title}}<h1>{{.Title}}</h1>
<p class="wrong" role="alert">{{.Detail}}</p>
{{with .Errors}}<ul>{{range .}}<li><strong>{{.Pointer}}</strong> {{.Detail}}</li>{{end}}</ul>{{end}}
{{with .LogTail}}{{if .}}<pre>{{.}}</pre>{{end}}{{end}}
<p><a href="/">To the console</a></p><p><small>Request {{.RequestID}}</small></p>
</main></body></html>{{end}}`

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
