package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/google/uuid"

	"davit/internal/archive"
	"davit/internal/every"
	"davit/internal/faas"
)

// Build unpacks a revision's source where runners can read but not write it, and returns "sha256:" and the source's
// checksum as the image. It writes a summary to log. Building the same source again is no error.
func (l *Launcher) Build(ctx context.Context, rev *faas.Revision, source io.Reader, log io.Writer) (faas.Built, error) {
	if source == nil {
		return faas.Built{}, faas.Errorf(faas.BuildFailed, "this installation cannot run an image, because it runs functions as local processes; send a source, or use an installation on Kubernetes")
	}
	sum, err := l.unpack(ctx, rev, source, log)
	if err != nil {
		return faas.Built{}, fmt.Errorf("unpack the source of %s: %w", rev.Ref(), err)
	}
	return faas.Built{Image: imagePrefix + sum}, nil
}

// unpack unpacks a source into a temporary folder, and renames the folder to the checksum of the source.
func (l *Launcher) unpack(ctx context.Context, rev *faas.Revision, source io.Reader, log io.Writer) (sum string, err error) {
	fresh := l.sources.dir(freshPrefix + uuid.NewString())
	unpacked, err := archive.Unpack(ctx, source, fresh, l.o.Limits)
	if err != nil {
		return "", asBuildFailure(err)
	}
	defer func() { err = errors.Join(err, removeAll(fresh)) }() // nothing is there after the rename
	if rev.SourceSum != "" && rev.SourceSum != unpacked.SHA256 {
		return "", faas.Errorf(faas.BuildFailed, "the stored source is not the uploaded one, because its SHA-256 is %s instead of %s; send the source again", unpacked.SHA256, rev.SourceSum)
	}
	logSummary(log, unpacked)
	l.sources.has(unpacked.SHA256)
	if err := os.Rename(fresh, l.sources.dir(unpacked.SHA256)); err != nil && !errors.Is(err, fs.ErrExist) { // the same source of another revision
		return "", err
	}
	return unpacked.SHA256, nil
}

// asBuildFailure turns an archive.Refusal into a faas.Error of kind BuildFailed, and returns other errors unchanged.
func asBuildFailure(err error) error {
	var refusal *archive.Refusal
	if errors.As(err, &refusal) {
		return &faas.Error{Kind: faas.BuildFailed, Detail: refusal.Error(), Err: err}
	}
	return err
}

// logSummary writes a summary of the unpacked source to the build log.
func logSummary(log io.Writer, s archive.Summary) {
	_, _ = fmt.Fprintf(log, "unpacked %d bytes: %d files, %d folders, %d links, together %d bytes\n",
		s.PackedBytes, s.Files, s.Dirs, s.Links, s.UnpackedBytes)
	top := s.Top
	if more := len(top) - maxTopNames; more > 0 {
		top = append(slices.Clone(top[:maxTopNames]), fmt.Sprintf("and %d more", more))
	}
	_, _ = fmt.Fprintf(log, "at the top: %s\n", strings.Join(top, ", "))
	if s.Dropped > 0 {
		_, _ = fmt.Fprintf(log, "set-id and sticky bits were dropped from %d entries\n", s.Dropped)
	}
}

// Prepare unpacks a revision's source from the store, unless it is unpacked here already.
func (l *Launcher) Prepare(ctx context.Context, rev *faas.Revision) error {
	sum := rev.SourceSum
	if sum == "" {
		return faas.Errorf(faas.Unavailable, "revision %d of function %q cannot run here, because it has no source, and this installation runs functions as local processes", rev.Number, rev.Function)
	}
	if l.sources.has(sum) {
		return nil
	}
	l.sources.mu.Lock()
	f := l.sources.filling[sum]
	mine := f == nil
	if mine {
		f = &filling{done: make(chan struct{})}
		l.sources.filling[sum] = f
	}
	l.sources.mu.Unlock()
	if !mine {
		select {
		case <-f.done:
			return f.err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	f.err = l.fill(ctx, rev)
	l.sources.mu.Lock()
	delete(l.sources.filling, sum)
	l.sources.mu.Unlock()
	close(f.done)
	return f.err
}

// fill unpacks a source from the store.
func (l *Launcher) fill(ctx context.Context, rev *faas.Revision) error {
	if l.sources.has(rev.SourceSum) { // unpacked since the check in Prepare
		return nil
	}
	source, err := l.o.Source(ctx, rev)
	if err != nil {
		return fmt.Errorf("unpack the source of %s again: %w", rev.Ref(), err)
	}
	defer source.Close()
	if _, err := l.unpack(ctx, rev, source, io.Discard); err != nil {
		return fmt.Errorf("unpack the source of %s again: %w", rev.Ref(), err)
	}
	return nil
}

// runCollector calls Collect once in collectAfter until ctx ends.
func (l *Launcher) runCollector(ctx context.Context) {
	every.Interval(ctx, collectAfter, func(ctx context.Context) {
		if l.o.Keep == nil {
			return
		}
		if err := l.Collect(ctx, l.o.Keep); err != nil {
			l.log.Warn("cannot remove unused sources", "error", err)
		}
	})
}

// Collect removes an unpacked source if keep returns false, no runner here uses it, and it was not requested within the
// last hour. Prepare unpacks a removed source again.
func (l *Launcher) Collect(ctx context.Context, keep func(sum string) bool) error {
	entries, err := os.ReadDir(l.sources.path)
	if err != nil {
		return fmt.Errorf("collect sources: %w", err)
	}
	used := l.used()
	var errs []error
	for _, e := range entries {
		if ctx.Err() != nil {
			break
		}
		sum := e.Name()
		if strings.HasPrefix(sum, ".") { // being filled
			continue
		}
		if used[sum] || l.sources.recent(e) || keep(sum) {
			continue
		}
		errs = append(errs, l.sources.remove(sum))
	}
	return errors.Join(errs...)
}

// used returns the sources of the live runners.
func (l *Launcher) used() map[string]bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	used := make(map[string]bool, len(l.runners))
	for _, p := range l.runners {
		used[p.record.Source] = true
	}
	return used
}
