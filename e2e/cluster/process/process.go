// Package process starts programs that outlive the one that started them, and ends them again: those and
// no others. A process is known by its id together with the instant it started at, so that an id that the
// system has given to another by now is never signalled.
//
// What a program starts in its turn is found by a mark in its environment: see [Table.Sweep]. Start at [Table].
package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// Command is a program to start.
type Command struct {
	// Name is what the process is called in the table and its log file, such as "etcd".
	Name string
	// Path is the program, Args what follows it on the command line.
	Path string
	Args []string
	// Env is its environment, to which the table's mark is added.
	Env []string
}

// Table starts processes and remembers them in a folder, across the lives of those that use it.
type Table struct {
	records string
	logs    string
	mark    string
}

// NewTable keeps a record a process in the one folder and a log a process in the other. The mark, NAME=value,
// is put into each environment and must be this table's alone.
func NewTable(records, logs, mark string) *Table {
	return &Table{records: records, logs: logs, mark: mark}
}

// Start starts the program in a session of its own, with its output appended to its log. It does not wait for it
// to be of use.
func (t *Table) Start(command Command) error {
	if err := t.start(command); err != nil {
		return fmt.Errorf("start %s: %w", command.Name, err)
	}
	return nil
}

func (t *Table) start(command Command) error {
	log, err := os.OpenFile(t.LogFile(command.Name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	// No context: the process is to outlive this program.
	cmd := exec.Command(command.Path, command.Args...) //nolint:noctx // see above
	cmd.Env = append([]string{t.mark}, command.Env...)
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	id, err := identify(cmd.Process.Pid)
	// While this program lives, it is the one that has to reap.
	go func() { _ = cmd.Wait() }()
	if err != nil {
		return fmt.Errorf("ended at once, see %s: %w", t.LogFile(command.Name), err)
	}
	text, err := json.Marshal(id)
	if err != nil {
		return err
	}
	return os.WriteFile(t.recordFile(command.Name), text, 0o600)
}

// LogFile is where the output of the process of that name goes.
func (t *Table) LogFile(name string) string {
	return filepath.Join(t.logs, name+".log")
}

func (t *Table) recordFile(name string) string {
	return filepath.Join(t.records, name+".json")
}

// Alive tells whether the process that was started under that name still runs.
func (t *Table) Alive(name string) bool {
	return t.PID(name) != 0
}

// PID is the id of the process that was started under that name, 0 if it does not run any more.
func (t *Table) PID(name string) int {
	id, err := t.read(name)
	if err != nil || !id.alive() {
		return 0
	}
	return id.PID
}

func (t *Table) read(name string) (identity, error) {
	var id identity
	text, err := os.ReadFile(t.recordFile(name))
	if err != nil {
		return id, err
	}
	return id, json.Unmarshal(text, &id)
}

// Sweep kills every process that bears the table's mark: those that the table knows and those that it lost
// or that they started. It returns when they are gone.
func (t *Table) Sweep(ctx context.Context) error {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return fmt.Errorf("list processes: %w", err)
	}
	var failed []error
	for _, entry := range entries {
		var pid int
		if _, err := fmt.Sscanf(entry.Name(), "%d", &pid); err != nil || pid == os.Getpid() {
			continue
		}
		id, err := identify(pid)
		if err != nil || !t.marked(pid) {
			continue
		}
		if err := id.kill(ctx); err != nil {
			failed = append(failed, fmt.Errorf("kill process %d: %w", pid, err))
		}
	}
	return errors.Join(failed...)
}

// Kill kills the process that has the id now and waits until it is gone. None having it is no error.
func Kill(ctx context.Context, pid int) error {
	id, err := identify(pid)
	if err != nil {
		return nil //nolint:nilerr // that there is none is what was wanted
	}
	return id.kill(ctx)
}

func (t *Table) marked(pid int) bool {
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	return err == nil && strings.Contains("\x00"+string(environ), "\x00"+t.mark+"\x00")
}
