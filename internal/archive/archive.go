// Package archive reads the sources of functions, gzipped tar archives that
// strangers send, and refuses the bad ones before anything of them is visible.
//
// Good entries are regular files (sparse ones too), directories, and links that
// stay inside. Refused are names that are absolute, climb, are too long or too
// deep, or hold control characters; links that lead out, one by one or chained;
// devices, FIFOs and other kinds; two entries of one name, and entries below a
// file or a link; archives without a file, beyond the limits, cut off or damaged.
// Owners, extended attributes and set-id bits are dropped.
//
// After the end of the tar archive only zeros may follow, however many, since a
// second archive there would be seen by some programs and not by others. A file
// of several gzip members is one archive, as for gzip; all of it counts.
//
// Start at Unpack; Check applies the same rules and writes nothing, Tar writes
// another tar archive of what is allowed, and Peek reads one file.
package archive

import (
	"fmt"
	"strconv"
	"unicode/utf8"
)

// Limits bound an archive; a zero value is unbounded.
type Limits struct {
	PackedBytes   int64 // of the archive as it was sent
	UnpackedBytes int64 // of all files together, a hard link counted as a copy
	Entries       int   // with the directories that are only named as parents
}

// Summary tells what an archive holds.
type Summary struct {
	Files, Dirs, Links int      // Dirs with those only named as parents; Links of both kinds
	PackedBytes        int64    // of the archive as it was sent
	UnpackedBytes      int64    // of all files, a hard link counted as a copy
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
	return fmt.Sprintf("the archive's entry %s %s", quote(r.Entry), r.Why)
}

func refuse(entry, format string, args ...any) *Refusal {
	return &Refusal{Entry: entry, Why: fmt.Sprintf(format, args...)}
}

// quote makes a name safe to print, and short.
func quote(name string) string {
	const most = 200
	if len(name) <= most {
		return strconv.Quote(name)
	}
	end := most
	for end > most-utf8.UTFMax && !utf8.RuneStart(name[end]) {
		end--
	}
	return strconv.Quote(name[:end] + "…")
}
