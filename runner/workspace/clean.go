package workspace

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// New makes a workspace in the folder dir, which must not exist.
func New(dir string, source *Source) (*Workspace, error) {
	r := &Workspace{
		dir: dir, work: filepath.Join(dir, workName), home: filepath.Join(dir, homeName), temp: filepath.Join(dir, tempName),
		source: source,
	}
	if err := r.build(); err != nil {
		return nil, err
	}
	return r, nil
}

// Clean restores the workspace to the state after New. All processes of the call must have ended.
func (r *Workspace) Clean() error {
	changed, err := r.restore()
	r.usedAt = time.Time{}
	if err == nil {
		if changed {
			r.recordTimes()
		}
		return nil
	}
	if err := r.Remove(); err != nil {
		return err
	}
	return r.build()
}

// Remove removes the workspace's folder.
func (r *Workspace) Remove() error {
	if r.request != nil {
		_ = r.request.Close()
		r.request = nil
	}
	return RemoveAll(r.dir)
}

// build makes the folders, links and request file, and records their identity.
func (r *Workspace) build() error {
	if err := os.MkdirAll(filepath.Dir(r.dir), 0o700); err != nil {
		return fmt.Errorf("make workspace: %w", err)
	}
	for i, dir := range r.paths() {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return fmt.Errorf("make workspace: %w", err)
		}
		if err := r.folders[i].record(dir); err != nil {
			return fmt.Errorf("make workspace: %w", err)
		}
	}
	for name, target := range r.source.links {
		if err := os.Symlink(target, filepath.Join(r.Work(), name)); err != nil {
			return fmt.Errorf("link source: %w", err)
		}
	}
	file, err := os.OpenFile(r.Request(), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("make request file: %w", err)
	}
	r.request, r.requestSize = file, 0
	var st unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &st); err != nil {
		return fmt.Errorf("make request file: %w", err)
	}
	r.requestNode = nodeOf(&st)
	r.recordTimes()
	return nil
}
