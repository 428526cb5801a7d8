package images

import (
	"archive/tar"
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// Suite is the release of Debian in the images.
const Suite = "bookworm"

// Debian makes a layer with Debian packages and their dependencies: on top of a minimal system, or with variant
// "extract" only unpacked.
func Debian(variant string, packages ...string) Make {
	return func(ctx context.Context, into io.Writer, report func(string)) error {
		args := []string{"--variant=" + variant, "--format=tar", "--aptopt=APT::Install-Recommends false"}
		// Documentation is left out, except for the licences.
		for _, option := range []string{
			"path-exclude=/usr/share/doc/*", "path-include=/usr/share/doc/*/copyright", "path-exclude=/usr/share/man/*",
			"path-exclude=/usr/share/info/*", "path-exclude=/usr/share/locale/*",
		} {
			args = append(args, "--dpkgopt="+option)
		}
		if len(packages) > 0 {
			args = append(args, "--include="+strings.Join(packages, ","))
		}
		cmd := exec.CommandContext(ctx, "nice", append(append([]string{"-n", "10", "mmdebstrap"}, args...), Suite, "-")...)
		cmd.Stdout = into
		said, err := cmd.StderrPipe()
		if err != nil {
			return err
		}
		if err := cmd.Start(); err != nil {
			return err
		}
		var problems []string
		for lines := bufio.NewScanner(said); lines.Scan(); {
			report(lines.Text())
			problems = append(problems, lines.Text())
		}
		if err := cmd.Wait(); err != nil {
			return fmt.Errorf("mmdebstrap: %w\n%s", err, strings.Join(problems, "\n"))
		}
		return nil
	}
}

// Above makes a layer with the files of whole that are new or different from those of the base. It removes no files of
// the base.
func Above(base Layer, whole Make) Make {
	return func(ctx context.Context, into io.Writer, report func(string)) error {
		known, err := fingerprints(base)
		if err != nil {
			return fmt.Errorf("read the base: %w", err)
		}
		temporary, err := os.CreateTemp("", "davit-image-")
		if err != nil {
			return err
		}
		defer os.Remove(temporary.Name())
		defer temporary.Close()
		if err := whole(ctx, temporary, report); err != nil {
			return err
		}
		return copyNew(temporary, into, known)
	}
}

// fingerprint has what is equal for two equal entries of the same name. The time of a file is not part of it.
type fingerprint struct {
	kind     byte
	mode     int64
	uid, gid int
	link     string
	content  [sha256.Size]byte
}

func fingerprints(layer Layer) (map[string]fingerprint, error) {
	file, err := os.Open(layer.path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	found := map[string]fingerprint{}
	for in := tar.NewReader(bufio.NewReader(file)); ; {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return nil, err
		}
		if found[header.Name], err = fingerprintOf(header, in); err != nil {
			return nil, err
		}
	}
}

func fingerprintOf(header *tar.Header, content io.Reader) (fingerprint, error) {
	sum := sha256.New()
	_, err := io.Copy(sum, content)
	return fingerprint{
		kind: header.Typeflag, mode: header.Mode, uid: header.Uid, gid: header.Gid, link: header.Linkname,
		content: [sha256.Size]byte(sum.Sum(nil)),
	}, err
}

// copyNew copies the entries that are not in known. It reads the tar twice: for the fingerprints, then for the
// contents.
func copyNew(whole *os.File, into io.Writer, known map[string]fingerprint) error {
	all, err := fingerprints(Layer{path: whole.Name()})
	if err != nil {
		return err
	}
	if _, err := whole.Seek(0, io.SeekStart); err != nil {
		return err
	}
	out := tar.NewWriter(into)
	for in := tar.NewReader(bufio.NewReader(whole)); ; {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			return out.Close()
		}
		if err != nil {
			return err
		}
		if was, there := known[header.Name]; there && was == all[header.Name] {
			continue
		}
		if err := out.WriteHeader(header); err != nil {
			return err
		}
		if _, err := io.CopyN(out, in, header.Size); err != nil {
			return err
		}
	}
}
