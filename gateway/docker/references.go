package docker

import (
	"bytes"
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"

	"davit/internal/faas"
)

// maxDockerfile is the most bytes that a source's own Dockerfile may have.
const maxDockerfile = 1 << 20

// references lists the images that a Dockerfile builds on or copies from, in order and without its own stages and
// scratch. It reads the file with the parser that the daemon has, and resolves names as the daemon's classic builder
// does without build arguments. It refuses a name that depends on an argument without a default, and heredocs, because
// not all daemons read them in the same way.
func references(dockerfile []byte) ([]string, error) {
	if !hasFrom.Match(dockerfile) {
		return nil, faas.Errorf(faas.BuildFailed, "the Dockerfile has no FROM")
	}
	file, err := parser.Parse(bytes.NewReader(dockerfile))
	if err != nil {
		return nil, unreadable(err)
	}
	if err := refuseHeredocs(file); err != nil {
		return nil, err
	}
	stages, args, err := instructions.Parse(file.AST, nil)
	if err != nil {
		return nil, unreadable(err)
	}
	r := &resolver{lex: shell.NewLex(file.EscapeToken), args: map[string]string{}}
	for i := range args {
		if err := r.globalArg(&args[i]); err != nil {
			return nil, err
		}
	}
	for i := range stages {
		if err := r.stage(i, &stages[i]); err != nil {
			return nil, err
		}
	}
	return r.images, nil
}

// triggered lists the images that the ONBUILD instructions of an image copy from when something is built on it.
func triggered(expressions []string) ([]string, error) {
	r := &resolver{}
	for _, expression := range expressions {
		if err := r.trigger(expression); err != nil {
			return nil, err
		}
	}
	return r.images, nil
}

var hasFrom = regexp.MustCompile(`(?im)^\s*\x{feff}?\s*FROM\b`)

func unreadable(err error) error {
	return &faas.Error{Kind: faas.BuildFailed, Detail: "the Dockerfile cannot be read: " + err.Error(), Err: err}
}

// refuseHeredocs refuses heredocs: old daemons read their lines as instructions, new ones as text.
func refuseHeredocs(file *parser.Result) error {
	for _, node := range file.AST.Children {
		if len(node.Heredocs) > 0 {
			return faas.Errorf(faas.BuildFailed, "the Dockerfile has a heredoc in line %d, which the builder does not support: use a file of the archive, or one command", node.StartLine)
		}
	}
	return nil
}

// resolver finds the images of a Dockerfile from its beginning to its end.
type resolver struct {
	lex    *shell.Lex
	args   map[string]string // global ones, declared before the first FROM, that have a value
	names  []string          // of the stages that are complete
	images []string
}

// globalArg sets what an ARG before the first FROM declares. All values of one ARG are expanded before any is set.
func (r *resolver) globalArg(arg *instructions.ArgCommand) error {
	err := arg.Expand(func(word string) (string, error) {
		expanded, _, err := r.lex.ProcessWord(word, r.env())
		return expanded, err
	})
	if err != nil {
		return unreadable(err)
	}
	for _, a := range arg.Args {
		if a.Value == nil {
			delete(r.args, a.Key)
		} else {
			r.args[a.Key] = *a.Value
		}
	}
	return nil
}

func (r *resolver) env() shell.EnvGetter {
	var all []string
	for name, value := range r.args {
		all = append(all, name+"="+value)
	}
	return shell.EnvsFromSlice(all)
}

// stage adds the images of stage number i. Its name is known to later stages only: within the stage itself, the daemon
// takes the name for that of an image.
func (r *resolver) stage(i int, stage *instructions.Stage) error {
	base, err := r.expand(stage.BaseName)
	if err != nil {
		return err
	}
	if base != "scratch" && !r.isStage(base) {
		r.add(base)
	}
	for _, command := range stage.Commands {
		if err := r.command(i, command); err != nil {
			return err
		}
	}
	if stage.Name != "" {
		r.names = append(r.names, stage.Name)
	}
	return nil
}

// command adds the images that a command of stage number i reads from.
func (r *resolver) command(i int, command instructions.Command) error {
	if trigger, is := command.(*instructions.OnbuildCommand); is {
		return r.trigger(trigger.Expression)
	}
	for _, from := range sources(command) {
		if number, err := strconv.Atoi(from); r.isStage(from) || err == nil && number >= 0 && number <= i {
			continue
		}
		if err := r.addLiteral(from); err != nil {
			return err
		}
	}
	return nil
}

// trigger adds the images of an ONBUILD instruction. It may run in any build, so that every name counts as an image.
func (r *resolver) trigger(expression string) error {
	file, err := parser.Parse(strings.NewReader(expression))
	if err != nil {
		return unreadable(err)
	}
	if err := refuseHeredocs(file); err != nil {
		return err
	}
	if len(file.AST.Children) != 1 {
		return unreadable(errors.New("an ONBUILD holds more than one instruction"))
	}
	command, err := instructions.ParseCommand(file.AST.Children[0])
	if err != nil {
		return unreadable(err)
	}
	for _, from := range sources(command) {
		if err := r.addLiteral(from); err != nil {
			return err
		}
	}
	return nil
}

// sources are the stages and images that a command reads from.
func sources(command instructions.Command) []string {
	var all []string
	switch c := command.(type) {
	case *instructions.CopyCommand:
		all = append(all, c.From)
	case *instructions.RunCommand:
		for _, mount := range instructions.GetMounts(c) {
			all = append(all, mount.From)
		}
	}
	return slices.DeleteFunc(all, func(from string) bool { return from == "" })
}

func (r *resolver) isStage(name string) bool { return slices.Contains(r.names, strings.ToLower(name)) }

// expand replaces the variables in the name of a base image.
func (r *resolver) expand(word string) (string, error) {
	found, err := r.lex.ProcessWordWithMatches(word, r.env())
	if err != nil {
		return "", unreadable(err)
	}
	for name := range found.Unmatched {
		if isPlain(name, word) {
			return "", unknown(word)
		}
	}
	if !isLiteral(found.Result) {
		return "", unknown(word)
	}
	return found.Result, nil
}

// isPlain reports whether a variable is in a word without a default: as $NAME or ${NAME}.
func isPlain(name, word string) bool {
	plain := regexp.MustCompile(`\$` + regexp.QuoteMeta(name) + `([^0-9A-Za-z_]|$)`)
	return strings.Contains(word, "${"+name+"}") || plain.MatchString(word)
}

// addLiteral adds the image that a --from names, in which the daemon replaces no variables.
func (r *resolver) addLiteral(name string) error {
	if !isLiteral(name) {
		return unknown(name)
	}
	r.add(name)
	return nil
}

func isLiteral(name string) bool {
	return name != "" && !strings.ContainsAny(name, "$\\{}`\"'") && !strings.ContainsFunc(name, unicode.IsSpace)
}

func unknown(word string) error {
	return faas.Errorf(faas.BuildFailed, "the Dockerfile's image %q depends on what is not known: name it, or give the ARG a default before the first FROM", word)
}

func (r *resolver) add(name string) {
	if !slices.Contains(r.images, name) {
		r.images = append(r.images, name)
	}
}
