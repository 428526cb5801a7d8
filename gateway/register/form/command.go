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

// ParseArguments parses arguments: a JSON list of strings, a Python list of strings, or a line, which it splits into
// words. A blank line has no arguments.
func ParseArguments(s string) ([]string, error) {
	s = strings.TrimSpace(s)
	if !strings.HasPrefix(s, "[") {
		return faas.SplitWords(s)
	}
	list, isJSON, err := spec.DecodeTexts([]byte(s))
	switch {
	case isJSON && err != nil:
		return nil, fmt.Errorf("an item of the list of arguments is not a string: %w", err)
	case isJSON:
		return list, nil
	}
	list, err = parsePythonList(s)
	if err != nil {
		return nil, fmt.Errorf("read the list of arguments: %w", err)
	}
	return list, nil
}

// shell matches the shells that support "$@". It does not match publish, run.sh or csh.
var shell = regexp.MustCompile(`(^|/)(a|ba|da|k|mk|pdk|po|rba|ya|z)?sh$`)

// commandFlag matches the shell option that is followed by a script: -c, alone or merged with others.
var commandFlag = regexp.MustCompile(`^-[a-z]*c$`)

// usesArguments matches a script that uses its arguments.
var usesArguments = regexp.MustCompile(`\$\{?[@*#1-9]`)

// ParseCommand splits a command line into words and returns how a call's arguments are added: by placeholders if the
// line has one, else counted, after the words of the line.
//
// SHELL -c WORDS… becomes SHELL -c 'WORDS… "$@"' davit, where SHELL is the name or path of a shell (sh, bash, dash,
// zsh, …), so that the call's arguments reach the command in WORDS instead of the shell. WORDS keep their quotes. If
// the first of WORDS contains blanks, it is a whole script, and the words after it are its arguments. A script that
// uses $@, $* or $1 is not changed. A placeholder among WORDS, and every word after it, stays an argument of its own.
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

// shellCommand rewrites SHELL -c WORDS…; the words from index end on are arguments already.
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

// hashedName matches names that NameForPath may have made with a hash.
var hashedName = regexp.MustCompile(`-[0-9a-f]{8}$`)

// NameForPath returns the name of the trigger of a path: the same name for the same path, different names for different
// paths. "/thumbnail" gives "thumbnail". If the path is not a DNS label, a hash of the path is appended.
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

// ParseMethods returns the methods of a form's field in upper case, each once. A value may have several methods,
// separated by commas or blanks.
func ParseMethods(values []string) []string {
	var methods []string
	for _, v := range values {
		methods = append(methods, strings.FieldsFunc(v, func(r rune) bool { return strings.ContainsRune(", \t\r\n", r) })...)
	}
	return spec.MergeMethods(methods)
}
