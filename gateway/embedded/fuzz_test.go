package embedded

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// FuzzJournal starts on any bytes: on an error nothing was changed, else a second start finds the same.
func FuzzJournal(f *testing.F) {
	whole, frames := journalOf(f)
	f.Add(whole)
	f.Add(whole[:frames[2]+5])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if path, err := startTwice(t, b); err != nil {
			after, err := os.ReadFile(path)
			if err != nil || !bytes.Equal(after, b) {
				t.Errorf("the start failed and the file was changed, %v", err)
			}
		}
	})
}

// FuzzReplay starts on whole frames of any commands: a line each, words between tabs.
func FuzzReplay(f *testing.F) {
	f.Add("SET\tk\tv\nHSET\th\tf\tv\nPEXPIREAT\tk\t4102444800000\nRENAME\tk\tl")
	f.Add("ZADD\tz\t1\ta\nZREMRANGEBYLEX\tz\t[a\t(b\nSCRIPT\tLOAD\treturn 1\nEVALSHA\te0e1f9fabfc9d4800c877a703b823ac0578ff8db\t0")
	f.Add("SET\tk\tv\tPXAT\t-1\nLTRIM\tl\t-1\nRPUSH\tl\nDEL\nSCRIPT\tFLUSH")
	f.Fuzz(func(t *testing.T, commands string) {
		if strings.Contains(commands, "LOAD") && strings.ContainsAny(commands, "(") {
			t.Skip("a script may loop for ever, as it may in Redis")
		}
		var form framing
		b := form.appendFrame(form.fileHead(), frameSnapshotEnd, 0, nil)
		for i, line := range strings.Split(commands, "\n") {
			b = form.appendFrame(b, frameCommand, int64(i), strings.Split(line, "\t"))
		}
		_, _ = startTwice(t, b) // an error is fine: most lines are no commands
	})
}

// startTwice starts on a journal of these bytes, and again on what that left.
func startTwice(t *testing.T, b []byte) (path string, err error) {
	t.Helper()
	s, path, err := startWith(t, b)
	if err != nil {
		return path, err
	}
	want := s.database.engine.db.Keys()
	closeServer(t, s)
	again, err := Start(t.Context(), Options{Dir: filepath.Dir(path), Log: logTo(t)})
	if err != nil {
		t.Fatalf("the second start: %v", err)
	}
	if got := again.database.engine.db.Keys(); !slices.Equal(got, want) {
		t.Errorf("the second start has keys %q, the first had %q", got, want)
	}
	closeServer(t, again)
	return path, nil
}

// FuzzRequest reads any bytes; what is a command is read the same when it was written again.
func FuzzRequest(f *testing.F) {
	f.Add([]byte("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*1\r\n$4\r\nPING\r\n"))
	f.Add([]byte("*1\r\n$-1\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		q := newRequestReader(bytes.NewReader(b), limits{arguments: 100, bytes: 1 << 16})
		for {
			args, err := q.next()
			if err != nil {
				return
			}
			again, err := newRequestReader(bytes.NewReader(appendRequest(nil, args)), q.limits).next()
			if err != nil || !slices.Equal(args, again) {
				t.Fatalf("%q is written and read as %q, %v", args, again, err)
			}
		}
	})
}
