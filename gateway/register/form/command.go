package form

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"

	"davit/internal/faas"
	"davit/internal/faas/spec"
)

// ParseArguments reads a list of arguments: a JSON list of strings, a Python
// list of strings, or else a line that is split into words. Blank is no argument.
func ParseArguments(s string) ([]string, error) {
	s = strings.TrimSpace(s)
	if !strings.HasPrefix(s, "[") {
		return faas.SplitWords(s)
	}
	list, isJSON, err := spec.DecodeTexts([]byte(s))
	switch {
	case isJSON && err != nil:
		return nil, fmt.Errorf("the list of arguments holds something that is no string: %w", err)
	case isJSON:
		return list, nil
	}
	list, err = parsePythonList(s)
	if err != nil {
		return nil, fmt.Errorf("read the list of arguments: %w", err)
	}
	return list, nil
}

// shell finds the shells that know "$@": publish, run.sh and csh are none.
var shell = regexp.MustCompile(`(^|/)(a|ba|da|k|mk|pdk|po|rba|ya|z)?sh$`)

// commandFlag is the shell option that a script follows, alone or with others.
var commandFlag = regexp.MustCompile(`^-[a-z]*c$`)

// usesArguments finds a script that says itself where its arguments go.
var usesArguments = regexp.MustCompile(`\$\{?[@*#1-9]`)

// ParseCommand splits a command line into words and says how a call's arguments
// reach it: by placeholders if it holds one, else counted, after its own.
//
// SHELL -c WORDS… becomes SHELL -c 'WORDS… "$@"' davit, where SHELL is a shell by
// name or path (sh, bash, dash, zsh, …), so that what follows reaches the words and
// not the shell. WORDS are taken as they are written. A first word with blanks in
// it is a script as shells take it: the words behind it stay, and so does a
// script that uses $@, $* or $1 itself. Placeholders among the words, and what
// follows them, stay arguments of their own.
func ParseCommand(line string) (faas.Command, faas.ArgumentStyle, error) {
	line = strings.ReplaceAll(line, "\r\n", "\n")
	words, err := faas.SplitLine(line)
	if err != nil {
		return nil, "", err
	}
	command := make(faas.Command, len(words))
	style, first := faas.Counted, len(words) // first: the first placeholder
	for i := len(words) - 1; i >= 0; i-- {
		command[i] = words[i].Text
		_, is, err := spec.ParsePlaceholder(words[i].Text)
		if err != nil {
			return nil, "", err
		}
		if is {
			style, first = faas.Placeholders, i
		}
	}
	const script = 2 // index of the first word behind SHELL -c
	if first <= script || !shell.MatchString(command[0]) || !commandFlag.MatchString(command[1]) {
		return command, style, nil
	}
	return shellCommand(line, words, command, first), style, nil
}

// shellCommand rewrites SHELL -c WORDS…, of which those from end on are arguments already.
func shellCommand(line string, words []faas.Word, command faas.Command, end int) faas.Command {
	const script, name = 2, "davit"
	text, rest := command[script], command[script+1:]
	switch {
	case !strings.ContainsAny(text, " \t\n") && end > script+1:
		stop := len(line)
		if end < len(words) {
			stop = words[end].At
		}
		text, rest = strings.TrimSpace(line[words[script].At:stop]), append(faas.Command{name}, command[end:]...)
	case len(rest) == 0 || end == script+1:
		rest = append(faas.Command{name}, rest...)
	}
	if !usesArguments.MatchString(text) {
		text += ` "$@"`
	}
	return append(faas.Command{command[0], command[1], text}, rest...)
}

// hashedName is a trigger's name that could have been made with a hash.
var hashedName = regexp.MustCompile(`-[0-9a-f]{8}$`)

// NameForPath names a trigger after its path, always the same for the same
// path, and different for different ones: "/thumbnail" gives thumbnail; where
// the path holds more than a DNS label can, a hash of it is appended.
func NameForPath(path string) faas.TriggerName {
	slug := strings.TrimPrefix(path, "/")
	name := faas.TriggerName(slug)
	if "/"+slug == path && name.Check() == "" && !hashedName.MatchString(slug) {
		return name
	}
	sum := sha256.Sum256([]byte(path))
	hash := hex.EncodeToString(sum[:4])
	words := strings.FieldsFunc(strings.ToLower(slug), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9')
	})
	slug = strings.Join(words, "-")
	if most := faas.MaxTriggerName - len(hash) - 1; len(slug) > most {
		slug = strings.TrimRight(slug[:most], "-")
	}
	if slug == "" {
		slug = "root"
	}
	return faas.TriggerName(slug + "-" + hash)
}

// ParseMethods reads the methods that a form names, each value one or several
// with commas or blanks between them, and returns them in upper case, each once.
func ParseMethods(values []string) []string {
	var methods []string
	for _, v := range values {
		methods = append(methods, strings.FieldsFunc(v, func(r rune) bool { return strings.ContainsRune(", \t\r\n", r) })...)
	}
	return spec.MergeMethods(methods)
}
