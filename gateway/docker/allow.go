package docker

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/distribution/reference"

	"davit/internal/faas"
)

// allowList holds patterns of allowed base images; an empty list allows all.
type allowList []allowed

type allowed struct {
	text string
	re   *regexp.Regexp
}

// newAllowList reads names such as "python:3.*", in which "*" matches any text.
func newAllowList(names []string) (allowList, error) {
	var l allowList
	for _, name := range names {
		name = strings.TrimSpace(name)
		if name == "" {
			continue
		}
		pattern := strings.ReplaceAll(regexp.QuoteMeta(name), `\*`, `.*`)
		re, err := regexp.Compile("^" + pattern + "$")
		if err != nil {
			return nil, fmt.Errorf("read the base image %q: %w", name, err)
		}
		l = append(l, allowed{name, re})
	}
	return l, nil
}

// check refuses an image if no pattern matches its full name (docker.io/library/python:3.13), its short name
// (python:3.13) or its short name without the tag.
func (l allowList) check(named reference.Named) error {
	if len(l) == 0 {
		return nil
	}
	short := reference.FamiliarString(named)
	var texts []string
	for _, a := range l {
		if a.re.MatchString(named.String()) || a.re.MatchString(short) || a.re.MatchString(reference.FamiliarName(named)) {
			return nil
		}
		texts = append(texts, a.text)
	}
	return faas.Errorf(faas.BuildFailed, "building on the image %s is not allowed here; use one of: %s", short, strings.Join(texts, ", "))
}
