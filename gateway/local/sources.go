package local

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"
)

const (
	// imagePrefix and the checksum of the source are the image of a revision.
	imagePrefix = "sha256:"
	// collectAfter is how long a source stays after its last request.
	collectAfter = time.Hour
	freshPrefix  = ".new-" // of folders that are being filled or removed
	maxTopNames  = 20
)

func newSources(path string) *sources {
	return &sources{path: path, asked: map[string]time.Time{}, filling: map[string]*filling{}}
}

func (s *sources) dir(sum string) string { return filepath.Join(s.path, sum) }

// has reports whether a source is unpacked, and stores the time of this request.
func (s *sources) has(sum string) bool {
	s.mu.Lock()
	s.asked[sum] = time.Now()
	s.mu.Unlock()
	_, err := os.Stat(s.dir(sum))
	return err == nil
}

// recent reports whether a folder was made or requested within collectAfter.
func (s *sources) recent(e fs.DirEntry) bool {
	s.mu.Lock()
	at := s.asked[e.Name()]
	s.mu.Unlock()
	if info, err := e.Info(); err == nil && info.ModTime().After(at) {
		at = info.ModTime()
	}
	return time.Since(at) < collectAfter
}

// remove renames the folder of a source and then removes it, so that no runner finds a part of the source.
func (s *sources) remove(sum string) error {
	gone := s.dir(freshPrefix + uuid.NewString())
	if err := os.Rename(s.dir(sum), gone); err != nil {
		return fmt.Errorf("collect source %s: %w", sum, err)
	}
	s.mu.Lock()
	delete(s.asked, sum)
	s.mu.Unlock()
	if err := removeAll(gone); err != nil {
		return fmt.Errorf("collect source %s: %w", sum, err)
	}
	return nil
}
