package api

import (
	"crypto/sha256"
	"html/template"
	"log/slog"
	"sync"
	"time"

	"davit/internal/faas"
)

// console serves the web page and the API of Davit's users.
type console struct {
	ConsoleOptions
	guard     *guard
	signIn    *signIn
	page      *page
	functions *functions
	triggers  *triggersAPI
	secrets   *secretsAPI
	invoked   invocations
}

// tokenCheck compares tokens with the admin token in constant time. It keeps a hash only.
type tokenCheck [sha256.Size]byte

// sessions are signed cookies. A session ends when it expires, when somebody signs out on any gateway, when the token
// or the installation's secret changes, and when the store loses it.
type sessions struct {
	key   []byte
	ttl   time.Duration
	store SessionStore
	now   func() time.Time
}

// signIns are the codes of one-time sign-in URLs.
type signIns struct {
	now func() time.Time

	mu    sync.Mutex
	codes map[[sha256.Size]byte]time.Time // when a code expires, by the code's hash
}

// guard refuses requests that pages of other sites make a browser send, because the browser adds the console's cookie
// to them. It also refuses unknown host names, because a page of a host name that was rebound to the console's address
// has the console's origin.
type guard struct {
	hosts []string // in lower case, without ports
}

// invocations serves single invocations, on both listeners.
type invocations struct {
	port      Invocations
	prefix    string        // of links
	public    bool          // serves every caller who knows an id; a private invocation needs the token too
	heartbeat time.Duration // between two comments in the event stream of a followed log
	token     *tokenCheck   // opens private invocations, when public
}

// page keeps the web page's files in memory, with their checksums.
type page struct {
	files map[string]*pageFile
}

type pageFile struct {
	body, packed []byte // packed is compressed with gzip; nil unless that saves a tenth
	media        string
	sum          string // the first 8 bytes of the body's SHA-256, in hex
	public       bool   // served without a session: styles and pictures, never code or text
}

// The pages that the gateway writes itself. They need neither scripts nor a session.
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

// functions serves the functions and their revisions.
type functions struct {
	reader    FunctionReader
	registrar FunctionRegistrar
	changer   FunctionChanger
	slots     func(faas.RevisionRef) map[faas.Start]faas.SlotCounts
	limits    *Limits
	uploads   *uploads
}

// secretsAPI serves the names of secrets. It accepts values and never returns them.
type secretsAPI struct {
	store  SecretStore
	limits *Limits
}

// signIn starts and ends sessions, and serves the pages that need no scripts.
type signIn struct {
	token    *tokenCheck
	sessions *sessions
	codes    *signIns
	secure   bool // browsers send the cookies through TLS only
	plain    *template.Template
	log      *slog.Logger
}

// triggersAPI serves the registered triggers, and the form that registers triggers and functions.
type triggersAPI struct {
	reader    TriggerReader
	registrar TriggerRegistrar
	forms     FormRegistrar
	functions *functions
	uploads   *uploads
	limits    *Limits
	callsURL  callsURL
}

// callsURL is the URL at which callers reach the triggers.
type callsURL string

// uploads reads forms and their files.
type uploads struct {
	dir    string // for spooled files; "" means the system's directory
	limits *Limits
}
