package local

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strconv"

	"davit/internal/faas"
)

// recordSuffix follows a runner's directory in the name of its record.
const recordSuffix = ".json"

// Ref returns the runner's revision.
func (r *processRecord) Ref() faas.RevisionRef {
	return faas.RevisionRef{Function: r.Function, Number: r.Revision}
}

func (r *processRecord) write(path string) error {
	b, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode the record of runner %s: %w", r.Runner, err)
	}
	return os.WriteFile(path, b, 0o600)
}

func readRecord(path string) (processRecord, error) {
	var r processRecord
	b, err := os.ReadFile(path)
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(b, &r)
}

// alive reports whether the recorded process still runs. Boot and start time distinguish it from a later process with
// the same pid.
func (r *processRecord) alive(boot string) bool {
	if r.PID <= 0 || r.Boot != boot {
		return false
	}
	s, err := readStat(r.PID)
	return err == nil && s.startTime == r.StartTime && s.state != 'Z' && s.state != 'X'
}

// setPID records a process that was just started.
func (p *process) setPID(pid int) {
	p.pid.Store(int64(pid))
	p.record.PID = pid
	p.record.Boot = bootID()
	if s, err := readStat(pid); err == nil {
		p.record.StartTime = s.startTime
	}
}

// stat is a part of /proc/<pid>/stat.
type stat struct {
	state     byte
	parent    int
	startTime uint64
}

// readStat reads /proc/<pid>/stat, see proc(5). The program's name, in parentheses, may contain any bytes.
func readStat(pid int) (stat, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return stat{}, err
	}
	const state, parent, startTime = 0, 1, 19 // fields after the name
	fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(fields) <= startTime {
		return stat{}, fmt.Errorf("read /proc/%d/stat: %d fields", pid, len(fields))
	}
	s := stat{state: fields[state][0]}
	s.parent, _ = strconv.Atoi(string(fields[parent]))
	s.startTime, err = strconv.ParseUint(string(fields[startTime]), 10, 64)
	return s, err
}

// bootID returns the kernel's id of the current boot; "": it cannot be read.
func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return string(bytes.TrimSpace(b))
}
