package docker

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/distribution/reference"

	"davit/internal/faas"
)

// defaultPath is the path of functions in a registry whose address has no path.
const defaultPath = "davit"

// address is a registry and the path of functions in it, as one client reaches them.
type address struct{ host, path string }

func parseAddress(text string) (address, error) {
	host, path, _ := strings.Cut(strings.TrimSuffix(text, "/"), "/")
	if path == "" {
		path = defaultPath
	}
	a := address{host: host, path: path}
	named, err := reference.ParseNormalizedNamed(a.repository("x"))
	if err != nil || named.Name() != a.repository("x") {
		return address{}, fmt.Errorf("%q is not host[:port][/path], such as registry.example:5000/davit", text)
	}
	return a, nil
}

// parsePullAddress reads another address of the registry. Without a path it has the path of push.
func parsePullAddress(text string, push address) (address, error) {
	if !strings.Contains(strings.TrimSuffix(text, "/"), "/") {
		text = strings.TrimSuffix(text, "/") + "/" + push.path
	}
	return parseAddress(text)
}

func (a address) repository(name faas.FunctionName) string {
	return a.host + "/" + a.path + "/" + string(name)
}

// tag returns the name under which the image of a revision is pushed.
func (a address) tag(ref faas.RevisionRef) string {
	return a.repository(ref.Function) + ":" + strconv.Itoa(int(ref.Number))
}

func (a address) pinned(name faas.FunctionName, digest string) string {
	return a.repository(name) + "@" + digest
}

// revision returns the revision whose image has that tag. It is false for other tags.
func (a address) revision(tag string) (faas.RevisionRef, bool) {
	rest, is := strings.CutPrefix(tag, a.host+"/"+a.path+"/")
	name, text, tagged := strings.Cut(rest, ":")
	number, err := strconv.Atoi(text)
	ref := faas.RevisionRef{Function: faas.FunctionName(name), Number: faas.RevisionNumber(number)}
	return ref, is && tagged && err == nil && number > 0 && ref.Function.Check() == ""
}

// contains reports whether a repository is that of a function.
func (a address) contains(repository string) bool {
	return strings.HasPrefix(repository, a.host+"/"+a.path+"/")
}
