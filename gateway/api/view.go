package api

import (
	"fmt"
	"strconv"
	"strings"

	"davit/gateway/edge"
	"davit/internal/faas"
)

// invocationView is a record as users read it.
type invocationView struct {
	*faas.Invocation
	Inner any   `json:"inner,omitempty"` // hides what is Davit's own
	Links links `json:"links"`
}

type links struct {
	Self   string `json:"self"`
	Result string `json:"result"`
	Log    string `json:"log"`
}

// viewInvocation makes the view of a record whose links begin with prefix.
func viewInvocation(inv *faas.Invocation, prefix string) invocationView {
	self := prefix + string(inv.ID)
	return invocationView{Invocation: inv, Links: links{Self: self, Result: self + "/result", Log: self + "/log"}}
}

// functionView is a function as users read it: its newest revision, and what its calls meet.
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

// invocable says in a few words what the next call meets.
func invocable(latest, live *faas.Revision, slots map[faas.Start]faas.SlotCounts) string {
	if live == nil {
		switch latest.State {
		case faas.RevisionBuilding:
			return fmt.Sprintf("not invocable: revision %d is being built", latest.Number)
		case faas.RevisionFailed:
			return fmt.Sprintf("not invocable: revision %d failed: %s", latest.Number, orDefault(latest.Detail, "see its log"))
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

// serverTiming lists the phases in milliseconds (W3C Server Timing).
func serverTiming(p *faas.Phases) string {
	var b strings.Builder
	for _, phase := range []struct {
		name string
		took faas.Duration
	}{{"queue", p.Queue}, {"start", p.Start}, {"input", p.Input}, {"run", p.Run}, {"zip", p.Zip}} {
		if phase.took <= 0 && (phase.name != "start" || b.Len() == 0) { // no start is worth saying, once there was a slot
			continue
		}
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		b.WriteString(phase.name + ";dur=" + strconv.FormatFloat(float64(phase.took.Std().Microseconds())/1000, 'f', -1, 64))
	}
	return b.String()
}

// filePolicy keeps a browser that opens a result from running anything in it.
const filePolicy = "default-src 'none'; sandbox"

// sendFileHeaders sets what goes with a file that a command made.
func setFileHeaders(r *edge.Request, name, media string) {
	r.Set("Content-Type", media)
	r.Set("Content-Disposition", attachment(name))
	r.Set("Content-Security-Policy", filePolicy)
	r.Set("Cache-Control", "private, no-cache")
}

// attachment is a Content-Disposition that names the file (RFC 6266): plainly
// where ASCII is enough, and in UTF-8 for those that read it.
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

// mediaByName is the type of a file by the end of its name, the same on every machine.
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
