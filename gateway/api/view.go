package api

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"davit/gateway/edge"
	"davit/internal/faas"
)

// invocationView is a record in the answers of the API.
type invocationView struct {
	*faas.Invocation
	Inner any   `json:"inner,omitempty"` // hides the record's Inner, which is not for users
	Links links `json:"links"`
}

type links struct {
	Self   string `json:"self"`
	Result string `json:"result"`
	Log    string `json:"log"`
}

// viewInvocation returns the view of a record, with links that begin with prefix.
func viewInvocation(inv *faas.Invocation, prefix string) invocationView {
	self := prefix + string(inv.ID)
	return invocationView{Invocation: inv, Links: links{Self: self, Result: self + "/result", Log: self + "/log"}}
}

// functionView is a function in the answers of the API: its newest revision, and how its calls would start now.
type functionView struct {
	Name      faas.FunctionName              `json:"name"`
	Revision  faas.RevisionNumber            `json:"revision"`
	State     faas.RevisionState             `json:"state"`
	Detail    string                         `json:"detail,omitempty"`
	Image     string                         `json:"image,omitempty"`
	Live      *faas.RevisionNumber           `json:"live_revision"`
	Invocable string                         `json:"invocable"`
	Slots     map[faas.Start]faas.SlotCounts `json:"slots"`
	Spec      faas.FunctionSpec              `json:"spec"`
	CreatedAt string                         `json:"created_at"`
	UpdatedAt string                         `json:"updated_at"`
}

// invocable describes, in a few words for users, how the next call would start.
func invocable(latest, live *faas.Revision, slots map[faas.Start]faas.SlotCounts) string {
	if live == nil {
		switch latest.State {
		case faas.RevisionBuilding:
			return fmt.Sprintf("not invocable: revision %d is being built", latest.Number)
		case faas.RevisionFailed:
			return fmt.Sprintf("not invocable: revision %d failed: %s", latest.Number, cmp.Or(latest.Detail, "see its log"))
		case faas.RevisionReady:
		}
		return fmt.Sprintf("not invocable: revision %d is not live", latest.Number)
	}
	for _, start := range []faas.Start{faas.StartWarm, faas.StartStandby} {
		if c := slots[start]; c.Free+c.Busy > 0 {
			return fmt.Sprintf("ready, %d of %d %s", c.Free, c.Free+c.Busy, start)
		}
	}
	return "starts on first call"
}

// serverTiming returns the phases in milliseconds (W3C Server Timing), without phases that took no time.
func serverTiming(p *faas.Phases) string {
	var b strings.Builder
	for _, phase := range []struct {
		name string
		took faas.Duration
	}{{"queue", p.Queue}, {"start", p.Start}, {"input", p.Input}, {"run", p.Run}, {"zip", p.Zip}} {
		if phase.took <= 0 && (phase.name != "start" || b.Len() == 0) { // a start of 0 after a queue shows that a slot was free
			continue
		}
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		b.WriteString(phase.name + ";dur=" + strconv.FormatFloat(float64(phase.took.Std().Microseconds())/1000, 'f', -1, 64))
	}
	return b.String()
}

// filePolicy keeps a browser that shows a result from running scripts in it.
const filePolicy = "default-src 'none'; sandbox"

// setFileHeaders sets the headers of an answer with a file that a command or a caller made.
func setFileHeaders(r *edge.Request, name, media string) {
	r.Set("Content-Type", media)
	r.Set("Content-Disposition", attachment(name))
	r.Set("Content-Security-Policy", filePolicy)
	r.Set("Cache-Control", "private, no-cache")
}

// attachment returns a Content-Disposition that names the file twice (RFC 6266): in ASCII, and in UTF-8 for clients
// that support it.
func attachment(name string) string {
	var plain, extended strings.Builder
	for _, c := range name {
		if c < ' ' || c > '~' || c == '"' || c == '\\' || c == '%' {
			c = '_'
		}
		plain.WriteRune(c)
	}
	for i := range len(name) {
		if c := name[i]; isAttrChar(c) {
			extended.WriteByte(c)
		} else {
			fmt.Fprintf(&extended, "%%%02X", c)
		}
	}
	return `attachment; filename="` + plain.String() + `"; filename*=UTF-8''` + extended.String()
}

// isAttrChar reports whether c stands for itself in an extended parameter (RFC 8187).
func isAttrChar(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("!#$&+-.^_`|~", c) >= 0
}

// mediaByName returns the media type for the end of a file's name. Unlike package mime, it uses no tables of the machine.
func mediaByName(name string) string {
	dot := strings.LastIndexByte(name, '.')
	if dot < 0 {
		return "application/octet-stream"
	}
	switch strings.ToLower(name[dot+1:]) {
	case "txt", "log", "md":
		return "text/plain; charset=utf-8"
	case "csv":
		return "text/csv; charset=utf-8"
	case "html", "htm":
		return "text/html; charset=utf-8"
	case "json":
		return "application/json"
	case "xml":
		return "application/xml"
	case "pdf":
		return "application/pdf"
	case "zip":
		return "application/zip"
	case "gz", "tgz":
		return "application/gzip"
	case "tar":
		return "application/x-tar"
	default:
		return mediaOfPictures(strings.ToLower(name[dot+1:]))
	}
}

func mediaOfPictures(ending string) string {
	switch ending {
	case "png", "gif", "webp", "avif", "bmp":
		return "image/" + ending
	case "jpg", "jpeg":
		return "image/jpeg"
	case "svg":
		return "image/svg+xml"
	case "tif", "tiff":
		return "image/tiff"
	case "mp3":
		return "audio/mpeg"
	case "wav":
		return "audio/wav"
	case "ogg":
		return "audio/ogg"
	case "mp4":
		return "video/mp4"
	case "webm":
		return "video/webm"
	}
	return "application/octet-stream"
}
