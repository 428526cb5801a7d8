package local

import (
	"log/slog"
	"os"
)

// groupOnly is for sources: code is for runners, not for everybody.
const groupOnly = 0o750

// makeRunnerDir makes a runner's own directory, which nobody else may enter.
func makeRunnerDir(dir string, asRoot bool) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	if asRoot {
		return os.Lchown(dir, RunnerUID, RunnerUID)
	}
	return nil
}

// clean removes what is left of a runner on disk; the record last.
func clean(p *process, log *slog.Logger) {
	if err := removeAll(p.dir); err != nil {
		log.Warn("cannot remove the directory of a runner that is gone", "runner", string(p.record.Runner), "error", err)
		return
	}
	_ = os.Remove(p.dir + recordSuffix)
}
