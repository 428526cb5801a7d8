package docker

import (
	"bytes"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"

	"davit/internal/faas"
)

// ignoreFile says what of a source its own Dockerfile does not see; it is for clients to heed, and the daemon does not.
const ignoreFile = ".dockerignore"

// maxIgnored bounds the patterns, each of which is tried on each name.
const maxIgnored = 200

// ignored reads an ignore file; nil leaves nothing out. The Dockerfile and the file itself always go along: what a COPY
// sees of them the daemon decides.
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
		_, err = matcher.MatchesOrParentMatches("x") // what is wrong with a pattern is told when it is used
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
