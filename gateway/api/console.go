package api

import (
	"crypto/sha256"
	"html/template"
	"log/slog"
	"sync"
	"time"

	"davit/internal/faas"
)

// console serves the page and the API of Davit's users.
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

// sessions are signed cookies. They need no store, expire, and become invalid when the token or the installation's secret
// changes. A session that was signed out of is remembered, by this gateway only, until it expires.
type sessions struct {
	key []byte
	ttl time.Duration
	now func() time.Time

	mu    sync.Mutex
	ended map[string]time.Time
}

// signIns are the codes of one-time sign-in URLs.
type signIns struct {
	now func() time.Time

	mu    sync.Mutex
	codes map[[sha256.Size]byte]time.Time // when a code expires, by the code's hash
}

// guard refuses requests that pages of other sites make a browser send: the browser adds our cookie to them, and a host
// name that was rebound to our address makes such a page look like ours.
type guard struct {
	hosts []string // in lower case, without ports
}

// invocations answers for one invocation, on both listeners.
type invocations struct {
	port      Invocations
	prefix    string        // of links
	public    bool          // for whoever knows an id, and the token where the trigger asks for it
	heartbeat time.Duration // between two signs of life of a followed log
	token     *tokenCheck   // of private ones, when public
}

// page is the web page's files, in memory with their checksums.
type page struct {
	files map[string]*pageFile
}

type pageFile struct {
	body, packed []byte // packed: with gzip; nil where that does not pay
	media        string
	sum          string // the beginning of its checksum, in hex
	public       bool   // shown to who is not signed in: styles and pictures, never code or text
}

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

// functions serves the functions and their revisions.
type functions struct {
	reader    FunctionReader
	registrar FunctionRegistrar
	changer   FunctionChanger
	slots     func(faas.RevisionRef) map[faas.Start]faas.SlotCounts
	limits    *Limits
	uploads   *uploads
}

// secretsAPI serves the names of secrets; values can only be put.
type secretsAPI struct {
	keeper SecretKeeper
	limits *Limits
}

// signIn starts and ends sessions, and serves the pages without scripts.
type signIn struct {
	token    *tokenCheck
	sessions *sessions
	codes    *signIns
	secure   bool // cookies are sent through TLS only
	plain    *template.Template
	log      *slog.Logger
}

// triggersAPI serves the triggers, and the form that registers functions too.
type triggersAPI struct {
	reader    TriggerReader
	registrar TriggerRegistrar
	forms     FormRegistrar
	functions *functions
	uploads   *uploads
	limits    *Limits
	callsURL  callsURL
}

// callsURL is where callers reach the triggers.
type callsURL string

// uploads reads forms and their files.
type uploads struct {
	dir    string // of files that cannot be streamed on; "": the system's
	limits *Limits
}
