// Command davit-bench-work is the program of pods in the cluster's benchmark. It is small, static and uses only the
// standard library, so that its own start takes little time.
//
//	dial HOST:PORT NAME   connects to the address and sends the name
//	files KIND            writes files below out/ in its working directory; KIND sets their number and size
//	true                  does nothing
package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		_, _ = io.WriteString(os.Stderr, "davit-bench-work: "+err.Error()+"\n")
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 3 && args[0] == "dial":
		return dial(args[1], args[2])
	case len(args) == 2 && args[0] == "files":
		return files(args[1])
	case len(args) == 1 && args[0] == "true":
		return nil
	}
	return errors.New("usage: dial HOST:PORT NAME | files KIND | true")
}

func dial(address, name string) error {
	conn, err := net.Dial("tcp", address) //nolint:noctx,gosec // it has nothing else to do
	if err != nil {
		return err
	}
	if _, err := io.WriteString(conn, name+"\n"); err != nil {
		return err
	}
	return conn.Close()
}

// files writes random bytes, which cannot be compressed, the same each time.
func files(kind string) error {
	count, size := 1, 1000
	switch kind {
	case "1-kb":
	case "1-mb":
		size = 1_000_000
	case "100-mb":
		size = 100_000_000
	case "1000-files":
		count = 1000
	default:
		return fmt.Errorf("files: there is no kind %q", kind)
	}
	if err := os.Mkdir("out", 0o755); err != nil { //nolint:gosec // a workspace's own
		return err
	}
	block := make([]byte, min(size, 1<<20))
	noise := rand.NewChaCha8([32]byte{})
	_, _ = noise.Read(block)
	for i := range count {
		if err := write(filepath.Join("out", strconv.Itoa(i)+".bin"), block, size); err != nil {
			return err
		}
	}
	return nil
}

func write(name string, block []byte, size int) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	for left := size; left > 0; {
		n, err := f.Write(block[:min(left, len(block))])
		if err != nil {
			return errors.Join(err, f.Close())
		}
		left -= n
	}
	return f.Close()
}
