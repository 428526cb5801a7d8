package docker

import (
	"bufio"
	"bytes"
	"slices"
	"strconv"
	"strings"

	"davit/internal/faas"
)

// references lists the images that a Dockerfile builds on or copies from, but its own stages and scratch. Names that
// depend on a build argument without a default are refused: what they stand for could not be checked.
func references(dockerfile []byte) ([]string, error) {
	r := &referred{args: map[string]string{}}
	for _, line := range instructions(dockerfile) {
		if err := r.instruction(line); err != nil {
			return nil, err
		}
	}
	if r.stages == 0 {
		return nil, faas.Errorf(faas.BuildFailed, "the Dockerfile has no FROM")
	}
	return r.images, nil
}

// referred is what is known of a Dockerfile so far.
type referred struct {
	args   map[string]string // global ones, before the first FROM
	names  []string          // of stages
	stages int
	images []string
}

func (r *referred) instruction(line string) error {
	words := strings.Fields(line)
	if len(words) < 2 {
		return nil
	}
	switch strings.ToUpper(words[0]) {
	case "ARG":
		if r.stages > 0 {
			return nil
		}
		for _, word := range words[1:] {
			if name, value, has := strings.Cut(word, "="); has {
				r.args[name] = r.expand(strings.Trim(value, `"'`))
			}
		}
	case "FROM":
		return r.from(words[1:])
	case "COPY", "ADD":
		return r.copyFrom(words[1:])
	}
	return nil
}

func (r *referred) from(words []string) error {
	words = slices.DeleteFunc(slices.Clone(words), func(word string) bool { return strings.HasPrefix(word, "--") })
	if len(words) == 0 {
		return faas.Errorf(faas.BuildFailed, "the Dockerfile has a FROM without an image")
	}
	if err := r.add(words[0]); err != nil {
		return err
	}
	r.stages++
	if len(words) > 2 && strings.EqualFold(words[1], "as") {
		r.names = append(r.names, strings.ToLower(words[2]))
	}
	return nil
}

func (r *referred) copyFrom(words []string) error {
	for _, word := range words {
		if !strings.HasPrefix(word, "--") {
			break
		}
		from, is := strings.CutPrefix(word, "--from=")
		if number, err := strconv.Atoi(from); !is || err == nil && number < r.stages {
			continue
		}
		if err := r.add(from); err != nil {
			return err
		}
	}
	return nil
}

// add notes an image, unless it is a stage or scratch.
func (r *referred) add(word string) error {
	name := r.expand(strings.Trim(word, `"'`))
	if name == "" || strings.ContainsAny(name, "$\\{}") {
		return faas.Errorf(faas.BuildFailed, "the Dockerfile's image %q depends on what is not known: name it, or give the ARG a default before the first FROM", word)
	}
	if name == "scratch" || slices.Contains(r.names, strings.ToLower(name)) || slices.Contains(r.images, name) {
		return nil
	}
	r.images = append(r.images, name)
	return nil
}

// expand replaces $NAME, ${NAME} and ${NAME:-default}; what it does not know becomes a "$", which no name of an image holds.
func (r *referred) expand(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); {
		if text[i] != '$' {
			b.WriteByte(text[i])
			i++
			continue
		}
		name, size := variable(text[i+1:])
		i += 1 + size
		name, otherwise, has := strings.Cut(name, ":-")
		switch value, known := r.args[name]; {
		case known && (value != "" || !has):
			b.WriteString(value)
		case has:
			b.WriteString(otherwise)
		default:
			b.WriteByte('$')
		}
	}
	return b.String()
}

// variable is the name at the beginning of what follows a "$", with how long that is.
func variable(text string) (name string, size int) {
	if inner, is := strings.CutPrefix(text, "{"); is {
		end := strings.IndexByte(inner, '}')
		if end < 0 {
			return "", len(text)
		}
		return inner[:end], end + len("{}")
	}
	end := strings.IndexFunc(text, func(c rune) bool {
		return c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z')
	})
	if end < 0 {
		end = len(text)
	}
	return text[:end], end
}

// instructions joins the lines that a Dockerfile continues, and leaves out its comments.
func instructions(dockerfile []byte) []string {
	escape, directives := `\`, true
	var all []string
	var open strings.Builder
	lines := bufio.NewScanner(bytes.NewReader(bytes.TrimPrefix(dockerfile, []byte("\xef\xbb\xbf"))))
	lines.Buffer(nil, maxDockerfile+1)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if comment, is := strings.CutPrefix(line, "#"); is {
			name, value, _ := strings.Cut(comment, "=")
			if directives && strings.EqualFold(strings.TrimSpace(name), "escape") && strings.TrimSpace(value) == "`" {
				escape = "`"
			}
			continue
		}
		directives = false
		if line == "" {
			continue
		}
		begun, continues := strings.CutSuffix(line, escape)
		open.WriteString(begun)
		if !continues {
			all = append(all, open.String())
			open.Reset()
		}
	}
	if open.Len() > 0 {
		all = append(all, open.String())
	}
	return all
}

// maxDockerfile is the most bytes that a source's own Dockerfile may have.
const maxDockerfile = 1 << 20
