package faas

import (
	"encoding/json"
	"errors"
)

// Command is a program and its arguments. In JSON a list, or one string that is split as a shell splits words; it is
// written as a list.
type Command []string

// UnmarshalJSON accepts both forms.
func (c *Command) UnmarshalJSON(b []byte) error {
	var list []string
	if err := json.Unmarshal(b, &list); err == nil {
		*c = list
		return nil
	}
	var line string
	if err := json.Unmarshal(b, &line); err != nil {
		return errors.New("a command is a list of strings, or one string that is split into words")
	}
	words, err := SplitWords(line)
	if err != nil {
		return err
	}
	*c = words
	return nil
}
