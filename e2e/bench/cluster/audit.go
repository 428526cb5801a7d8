package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// audit is the API server's audit log: one line for each write that it answered.
type audit string

// auditEntry is one write.
type auditEntry struct {
	Stage     string
	UserAgent string
	ObjectRef struct{ Resource, Subresource, Namespace, Name string }
}

// isThere reports whether there is a log and it can be read.
func (a audit) isThere() bool {
	f, err := os.Open(string(a))
	if err != nil {
		return false
	}
	return f.Close() == nil
}

// mark returns the end of the log, for since.
func (a audit) mark() (int64, error) {
	info, err := os.Stat(string(a))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// since returns the writes since a mark.
func (a audit) since(mark int64) ([]auditEntry, error) {
	f, err := os.Open(string(a))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.Size() < mark {
		return nil, errors.Join(fmt.Errorf("the audit log %s was rotated meanwhile: measure again", a), err)
	}
	if _, err := f.Seek(mark, io.SeekStart); err != nil {
		return nil, err
	}
	var entries []auditEntry
	for r := bufio.NewReader(f); ; {
		line, err := r.ReadString('\n')
		if errors.Is(err, io.EOF) {
			return entries, nil
		}
		if err != nil {
			return nil, err
		}
		var e auditEntry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			return nil, fmt.Errorf("read the audit log: %w", err)
		}
		if e.Stage == "ResponseComplete" {
			entries = append(entries, e)
		}
	}
}

// writes counts the writes of Jobs, given by name, of their pods, and of events about both: by all programs if by is
// "", else by one program.
func writes(entries []auditEntry, namespace string, jobs map[string]bool, by string) int {
	n := 0
	for i := range entries {
		e := &entries[i]
		if e.ObjectRef.Namespace != namespace || !belongs(e.ObjectRef.Name, jobs) || by != "" && e.UserAgent != by {
			continue
		}
		n++
		if by == "" && e.ObjectRef.Subresource == "binding" {
			n++ // because the creation of a pod has no name yet
		}
	}
	return n
}

// belongs reports whether an object is one of the Jobs, or has its name: its pod, and their events.
func belongs(name string, jobs map[string]bool) bool {
	for at := 0; at <= len(name); at++ {
		if (at == len(name) || name[at] == '-' || name[at] == '.') && jobs[name[:at]] {
			return true
		}
	}
	return false
}
