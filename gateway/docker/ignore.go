package docker

import (
	"bytes"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"

	"davit/internal/faas"
)

// ignoreFile lists the files of a source that its own Dockerfile does not see. A client must apply it, because the
// daemon does not.
const ignoreFile = ".dockerignore"

// maxIgnored bounds the patterns, each of which is tried on each name.
const maxIgnored = 200

// ignored reads an ignore file and returns which names it excludes; text nil excludes none, and skip is nil. The
// Dockerfile and the ignore file are never excluded, because the daemon needs them.
func ignored(text []byte) (skip func(name string) bool, err error) {
	if text == nil {
		return nil, nil
	}
	patterns, err := ignorefile.ReadAll(bytes.NewReader(text))
	if err != nil {
		return nil, faas.Errorf(faas.BuildFailed, "the archive's %s cannot be read: %v", ignoreFile, err)
	}
	if len(patterns) > maxIgnored {
		return nil, faas.Errorf(faas.BuildFailed, "the archive's %s has %d patterns; at most %d are allowed", ignoreFile, len(patterns), maxIgnored)
	}
	matcher, err := patternmatcher.New(patterns)
	if err == nil {
		_, err = matcher.MatchesOrParentMatches("x") // a pattern is compiled when it is first used
	}
	if err != nil {
		return nil, faas.Errorf(faas.BuildFailed, "the archive's %s has a bad pattern: %v", ignoreFile, err)
	}
	return func(name string) bool {
		if name == contextFile || name == ignoreFile {
			return false
		}
		skipped, err := matcher.MatchesOrParentMatches(name)
		return err == nil && skipped
	}, nil
}
