package main

import (
	"bufio"
	"bytes"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// unmapStart gives back the program's pages that only its start needed: much of what is
// linked in sets itself up and is never run again. What is run comes back from the
// kernel's cache, page by page. Code only: it is the same as in the file.
func unmapStart() error {
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return err
	}
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return err
	}
	defer maps.Close() //nolint:errcheck // it was only read
	lines := bufio.NewScanner(maps)
	for lines.Scan() {
		field := bytes.Fields(lines.Bytes())
		if len(field) < 6 || string(field[1]) != "r-xp" || string(field[5]) != program {
			continue
		}
		from, to, _ := bytes.Cut(field[0], []byte("-"))
		start, err := strconv.ParseUint(string(from), 16, 64)
		if err != nil {
			return err
		}
		end, err := strconv.ParseUint(string(to), 16, 64)
		if err != nil {
			return err
		}
		if _, _, no := unix.Syscall(unix.SYS_MADVISE, uintptr(start), uintptr(end-start), unix.MADV_DONTNEED); no != 0 {
			return no
		}
	}
	return lines.Err()
}
