// Package archive reads the sources of functions, gzipped tar archives that
// strangers send, and refuses the bad ones before anything of them is visible.
//
// Good entries are regular files, directories, and links that stay inside.
// Refused are names that are absolute, climb, or hold control characters; links
// that lead out; devices and FIFOs; two entries of one name; archives without a
// file, and ones beyond the limits. Set-id bits are dropped. What follows the end
// of the tar archive inside the gzip stream is counted against the limits and
// otherwise ignored, as tar does.
//
// Start at Unpack; Check applies the same rules and writes nothing.
package archive

import (
	"fmt"
	"strconv"
)

// Limits bound an archive; a zero value is unbounded.
type Limits struct {
	PackedBytes   int64 // of the archive as it was sent
	UnpackedBytes int64 // of all files together, and of all tar headers
	Entries       int
}

// Summary tells what an archive holds.
type Summary struct {
	Files, Dirs, Links int
	PackedBytes        int64
	UnpackedBytes      int64    // of all files
	SHA256             string   // of the packed bytes, hex
	Top                []string // names at the top, sorted
	Dropped            int      // entries whose set-id or sticky bits were dropped
}

// Refusal is why an archive is not taken. Its text is for the user who sent it.
type Refusal struct {
	Entry string // the entry's name as it stands in the archive; "" for the archive as a whole
	Why   string
}

// Error names the entry, quoted so that it is safe on a terminal and on a page.
func (r *Refusal) Error() string {
	if r.Entry == "" {
		return "the archive " + r.Why
	}
	name := r.Entry
	const most = 200
	if len(name) > most {
		name = name[:most] + "…"
	}
	return fmt.Sprintf("the archive's entry %s %s", strconv.QuoteToASCII(name), r.Why)
}

func refuse(entry, format string, args ...any) *Refusal {
	return &Refusal{Entry: entry, Why: fmt.Sprintf(format, args...)}
}
