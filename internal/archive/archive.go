// Package archive reads the sources of functions, gzipped tar archives from untrusted users. It refuses a bad archive
// before any of its files is visible.
//
// An archive may contain regular files (sparse files too), directories, and links whose targets are in the folder.
// Refused are names that are absolute, contain "..", are too long or too deep, or contain control characters; links
// that lead out of the folder, directly or through other links; devices, FIFOs and other kinds; two entries with one
// name, and entries below a file or a link; archives without a file, beyond the limits, cut off or damaged. Owners,
// extended attributes and set-id bits are dropped.
//
// After the end of the tar archive only zeros may follow, because some programs would read a second archive there and
// others would not. A file of several gzip members is one archive, as for gzip; the limits apply to all members
// together.
//
// Start at Unpack. Check applies the same rules and writes nothing, Tar writes the checked entries to another tar
// archive, and Peek reads single files.
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
	Entries       int   // with the directories that only appear as parents in names
}

// Summary describes the content of an archive.
type Summary struct {
	Files, Dirs, Links int      // Dirs with the directories that only appear as parents in names; Links of both kinds
	PackedBytes        int64    // of the archive as it was sent
	UnpackedBytes      int64    // of all files, a hard link counted as a copy
	SHA256             string   // of the packed bytes, hex
	Top                []string // names at the top, sorted
	Dropped            int      // entries whose set-id or sticky bits were dropped
}

// Refusal is the error for a bad archive. Its text is for the user who sent the archive.
type Refusal struct {
	Entry string // the entry's name as written in the archive; "" for the archive as a whole
	Why   string
}

// Error returns the reason with the entry's name, quoted so that it is safe on a terminal and on a page.
func (r *Refusal) Error() string {
	if r.Entry == "" {
		return "the archive " + r.Why
	}
	return fmt.Sprintf("the archive's entry %s %s", quote(r.Entry), r.Why)
}

func refuse(entry, format string, args ...any) *Refusal {
	return &Refusal{Entry: entry, Why: fmt.Sprintf(format, args...)}
}

// quote returns name as a quoted string that is safe to print, cut after 200 bytes.
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
