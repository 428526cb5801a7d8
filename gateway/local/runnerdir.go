package local

import (
	"log/slog"
	"os"
)

// groupOnly is the mode of the folder of sources: only runners may read code.
const groupOnly = 0o750

// makeRunnerDir makes the directory of a runner, which only the runner's user may enter.
func makeRunnerDir(dir string, asRoot bool) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	if asRoot {
		return os.Lchown(dir, RunnerUID, RunnerUID)
	}
	return nil
}

// clean removes the directory of a runner, and then its record.
func clean(p *process, log *slog.Logger) {
	if err := removeAll(p.dir); err != nil {
		log.Warn("cannot remove the directory of a runner that ended", "runner", string(p.record.Runner), "error", err)
		return
	}
	_ = os.Remove(p.dir + recordSuffix)
}
