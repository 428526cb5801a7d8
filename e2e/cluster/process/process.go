// Package process starts programs that outlive their starter, and ends them and no others. It identifies a process by
// its id and its start time, so that it never signals another process that got the id later.
//
// It finds the children of a program by a mark in their environment: see [Table.Sweep]. Start at [Table].
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
	// Name is the name of the process in the table and of its log file, such as "etcd".
	Name string
	// Path is the program, Args are its arguments.
	Path string
	Args []string
	// Env is its environment, to which the table's mark is added.
	Env []string
}

// Table starts processes and keeps records of them in a folder, so that a later program can end them.
type Table struct {
	records string
	logs    string
	mark    string
}

// NewTable returns a table with one record per process in the folder records and one log per process in the folder
// logs. The mark, NAME=value, is added to each environment. No other table may have it.
func NewTable(records, logs, mark string) *Table {
	return &Table{records: records, logs: logs, mark: mark}
}

// Start starts the program in a new session and appends its output to its log. It does not wait until the program is
// ready.
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
	// No context, because the process must outlive this program.
	cmd := exec.Command(command.Path, command.Args...) //nolint:noctx // see above
	cmd.Env = append([]string{t.mark}, command.Env...)
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	id, err := identify(cmd.Process.Pid)
	// Because this program is the parent, it must reap the process.
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

// LogFile returns the path of the log of the process of that name.
func (t *Table) LogFile(name string) string {
	return filepath.Join(t.logs, name+".log")
}

func (t *Table) recordFile(name string) string {
	return filepath.Join(t.records, name+".json")
}

// Alive reports whether the process that was started under that name runs.
func (t *Table) Alive(name string) bool {
	return t.PID(name) != 0
}

// PID returns the id of the process that was started under that name, 0 if it has ended.
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

// Sweep kills every process with the table's mark: those that the table started and their children. It returns when
// they have ended.
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

// Kill kills the process that has the id now and waits until it has ended. It is no error if there is none.
func Kill(ctx context.Context, pid int) error {
	id, err := identify(pid)
	if err != nil {
		return nil //nolint:nilerr // there is no such process
	}
	return id.kill(ctx)
}

func (t *Table) marked(pid int) bool {
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	return err == nil && strings.Contains("\x00"+string(environ), "\x00"+t.mark+"\x00")
}
