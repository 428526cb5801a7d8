package local

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const lockFile = "lock"

// prepare makes the folders, locks this launcher's own folder, and takes over the folders of gateways that have ended.
// A gateway keeps the lock of its folder until its process ends; prepare leaves locked folders alone.
func (l *Launcher) prepare() error {
	root, err := makeRoot(l.o.Dir, l.asRoot)
	if err != nil {
		return err
	}
	turn, err := lock(filepath.Join(root, lockFile), unix.LOCK_EX)
	if err != nil {
		return err
	}
	defer turn.Close()
	if l.layout, err = makeLayout(root, l.asRoot); err != nil {
		return err
	}
	l.sources = newSources(l.layout.sources)
	own, err := lock(filepath.Join(l.layout.run, lockFile), unix.LOCK_EX)
	if err != nil {
		return err
	}
	l.locks = append(l.locks, own)
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become the reaper of orphaned processes: %w", err)
	}
	alone, err := l.takeOver(filepath.Dir(l.layout.run))
	if err != nil {
		return err
	}
	l.binary, err = installBinary(l.layout, l.o.RunnerBinary, alone)
	return err
}

// lock opens and locks a file. Closing the file, or the end of the process, unlocks it.
func lock(path string, how int) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), how); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	return f, nil
}

// takeOver takes over the folders of gateways that have ended. It reports whether no other gateway lives.
func (l *Launcher) takeOver(run string) (alone bool, err error) {
	folders, err := os.ReadDir(run)
	if err != nil {
		return false, err
	}
	alone = true
	for _, e := range folders {
		dir := filepath.Join(run, e.Name())
		if dir == l.layout.run {
			continue
		}
		f, err := lock(filepath.Join(dir, lockFile), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case errors.Is(err, unix.EWOULDBLOCK):
			alone = false
		case err != nil:
			return false, err
		default:
			l.locks = append(l.locks, f)
			l.takeOverFolder(dir)
		}
	}
	return alone, nil
}

// takeOverFolder tracks the live runners of a gateway that has ended, and removes the other directories of its folder.
func (l *Launcher) takeOverFolder(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		l.log.Warn("cannot read the folder of an earlier gateway", "dir", dir, "error", err)
		return
	}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		p := &process{dir: filepath.Join(dir, e.Name()), begun: make(chan struct{}), joined: true}
		close(p.begun)
		p.record, err = readRecord(p.dir + recordSuffix)
		if err != nil { // the gateway was killed before it sent the runner its launch
			clean(p, l.log)
			continue
		}
		l.takeOverRunner(p)
	}
	l.removeRecords(dir, entries)
}

// removeRecords removes the records whose directory is gone.
func (l *Launcher) removeRecords(dir string, entries []os.DirEntry) {
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if body, is := strings.CutSuffix(path, recordSuffix); is {
			if _, err := os.Lstat(body); errors.Is(err, os.ErrNotExist) {
				_ = os.Remove(path)
			}
		}
	}
}

func (l *Launcher) takeOverRunner(p *process) {
	body, err := openEarlier(&p.record)
	if err != nil {
		l.killOrphans(p)
		clean(p, l.log)
		return
	}
	p.handle = body
	p.pid.Store(int64(p.record.PID))
	l.log.Info("took over a runner of an earlier gateway", "runner", string(p.record.Runner), "pid", p.record.PID)
	l.mu.Lock()
	l.runners[p.record.Runner] = p
	if p.record.Invocation != "" {
		l.jobs[p.record.Invocation] = p
	}
	l.alive.Add(1)
	l.mu.Unlock()
	go func() {
		defer l.alive.Done()
		l.watch(p)
	}()
}

// earlierProcess is a runner process that an earlier gateway started.
type earlierProcess struct {
	pid int
	fd  int // pidfd, because the kernel may give the pid to another process
}

var errProcessGone = errors.New("the process is gone")

// openEarlier opens the process of a record. It returns an error if the process is gone, even if another process has
// its pid.
func openEarlier(r *processRecord) (*earlierProcess, error) {
	if r.PID <= 0 {
		return nil, errProcessGone
	}
	fd, err := unix.PidfdOpen(r.PID, 0)
	if err != nil {
		return nil, err
	}
	if !r.alive(bootID()) { // after the open, so that descriptor and record are the same process
		_ = unix.Close(fd)
		return nil, errProcessGone
	}
	return &earlierProcess{pid: r.PID, fd: fd}, nil
}

func (f *earlierProcess) Signal(sig syscall.Signal) error {
	return unix.PidfdSendSignal(f.fd, sig, nil, 0)
}

func (f *earlierProcess) Wait() ending {
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(f.fd), Events: unix.POLLIN}}, -1) //nolint:gosec // a descriptor fits
		if n > 0 || err != nil && !errors.Is(err, unix.EINTR) {
			break
		}
	}
	_, _ = unix.Wait4(f.pid, nil, unix.WNOHANG, nil) // this process may be its reaper
	return ending{text: "the runner ended; its exit status is unknown, because an earlier gateway started it", code: -1}
}
