package docker

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/distribution/reference"

	"davit/internal/faas"
)

// defaultPath is where in a registry functions are, when its address has no path.
const defaultPath = "davit"

// address is where in which registry functions are, as somebody reaches it.
type address struct{ host, path string }

func parseAddress(text string) (address, error) {
	host, path, _ := strings.Cut(strings.TrimSuffix(text, "/"), "/")
	if path == "" {
		path = defaultPath
	}
	a := address{host: host, path: path}
	named, err := reference.ParseNormalizedNamed(a.repository("x"))
	if err != nil || named.Name() != a.repository("x") {
		return address{}, fmt.Errorf("%q is no host[:port][/path], such as registry.example:5000/davit", text)
	}
	return a, nil
}

// parsePullAddress reads another address of a registry; the path may be left out.
func parsePullAddress(text string, push address) (address, error) {
	if !strings.Contains(strings.TrimSuffix(text, "/"), "/") {
		text = strings.TrimSuffix(text, "/") + "/" + push.path
	}
	return parseAddress(text)
}

func (a address) repository(name faas.FunctionName) string {
	return a.host + "/" + a.path + "/" + string(name)
}

// tag is the name under which a revision's image is pushed.
func (a address) tag(ref faas.RevisionRef) string {
	return a.repository(ref.Function) + ":" + strconv.Itoa(int(ref.Number))
}

func (a address) pinned(name faas.FunctionName, digest string) string {
	return a.repository(name) + "@" + digest
}

// revision is the one whose image has that name; false for what is no function's.
func (a address) revision(tag string) (faas.RevisionRef, bool) {
	rest, is := strings.CutPrefix(tag, a.host+"/"+a.path+"/")
	name, text, tagged := strings.Cut(rest, ":")
	number, err := strconv.Atoi(text)
	ref := faas.RevisionRef{Function: faas.FunctionName(name), Number: faas.RevisionNumber(number)}
	return ref, is && tagged && err == nil && number > 0 && ref.Function.Check() == ""
}

// contains reports whether a repository is one of the functions'.
func (a address) contains(repository string) bool {
	return strings.HasPrefix(repository, a.host+"/"+a.path+"/")
}
