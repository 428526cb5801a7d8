package workspace

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"davit/internal/testenv"
	"davit/runner/form"
)

func source(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"app.sh": "#!/bin/sh\n", "data/in.txt": "in", "data/deep/x.txt": "x"} {
		path := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte(text), 0o755))
	}
	must(t, os.Symlink("in.txt", filepath.Join(dir, "data", "link.txt")))
	return dir
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newWorkspace(t testing.TB) *Workspace {
	t.Helper()
	src, err := OpenSource(source(t))
	must(t, err)
	r, err := New(filepath.Join(t.TempDir(), "0"), src)
	must(t, err)
	t.Cleanup(func() {
		if err := r.Remove(); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(r.dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the workspace is still there: %v", err)
		}
	})
	return r
}

// tree lists what a workspace holds, links with their targets.
func tree(t testing.TB, r *Workspace) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(r.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(r.dir, path)
		info, err := d.Info()
		if err != nil {
			return err
		}
		line := rel + " " + info.Mode().String()
		if d.Type() == fs.ModeSymlink {
			to, _ := os.Readlink(path)
			line += " " + to
		}
		all = append(all, line)
		return nil
	})
	must(t, err)
	return all
}

func TestCleanMakesTheRoomAsNew(t *testing.T) {
	write := func(path string) error { return os.WriteFile(path, []byte("x"), 0o600) }
	tests := []struct {
		name string
		mess func(r *Workspace) error
	}{
		{"nothing", func(*Workspace) error { return nil }},
		{"files", func(r *Workspace) error {
			return errors.Join(write(r.Work()+"/a"), write(r.Home()+"/.b"), write(r.Temp()+"/c"), write(r.dir+"/d"))
		}},
		{"deep tree", func(r *Workspace) error { return deepTree(r.Work(), 3000) }},
		{"many files", func(r *Workspace) error {
			for i := range 3000 {
				if err := write(filepath.Join(r.Temp(), strings.Repeat("n", 30)+string(rune('a'+i%26))+filepath.Base(os.DevNull)+itoa(i))); err != nil {
					return err
				}
			}
			return nil
		}},
		{"folders without rights", func(r *Workspace) error {
			dir := r.Work() + "/closed/inner"
			if err := os.MkdirAll(dir, 0o700); err != nil {
				return err
			}
			return errors.Join(write(dir+"/x"), os.Chmod(dir, 0), os.Chmod(filepath.Dir(dir), 0))
		}},
		{"workspace without rights", func(r *Workspace) error { return os.Chmod(r.Work(), 0) }},
		{"workspace without rights", func(r *Workspace) error { return errors.Join(os.Chmod(r.Home(), 0), os.Chmod(r.dir, 0)) }},
		{"workspace removed", func(r *Workspace) error { return os.RemoveAll(r.Work()) }},
		{"workspace removed", func(r *Workspace) error { return os.RemoveAll(r.dir) }},
		{"home is a link", func(r *Workspace) error { return errors.Join(os.Remove(r.Home()), os.Symlink("/", r.Home())) }},
		{"temp is another folder", func(r *Workspace) error { return errors.Join(os.Remove(r.Temp()), os.Mkdir(r.Temp(), 0o700)) }},
		{"link redirected", func(r *Workspace) error {
			return errors.Join(os.Remove(r.Work()+"/app.sh"), os.Symlink("/bin/false", r.Work()+"/app.sh"))
		}},
		{"links removed", func(r *Workspace) error {
			return errors.Join(os.Remove(r.Work()+"/app.sh"), os.Remove(r.Work()+"/data"))
		}},
		{"link became a file", func(r *Workspace) error { return errors.Join(os.Remove(r.Work()+"/data"), write(r.Work()+"/data")) }},
		{"source copied", func(r *Workspace) error { return r.Prepare([]string{"data/**", "./app.sh", "data/x"}) }},
		{"request removed", func(r *Workspace) error { return os.Remove(r.Request()) }},
		{"request linked elsewhere", func(r *Workspace) error { return os.Link(r.Request(), filepath.Dir(r.dir)+"/kept") }},
		{"request is a FIFO", func(r *Workspace) error { return errors.Join(os.Remove(r.Request()), unix.Mkfifo(r.Request(), 0o600)) }},
		{"FIFO and socket", func(r *Workspace) error {
			return errors.Join(unix.Mkfifo(r.Work()+"/fifo", 0), unix.Mknod(r.Work()+"/sock", unix.S_IFSOCK, 0))
		}},
		{"default ACL", func(r *Workspace) error { return unix.Setxattr(r.Work(), "user.davit", []byte("x"), 0) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := newWorkspace(t)
			fresh := tree(t, r)
			for pass := range 2 {
				if pass == 1 { // most calls come long after the workspace was made
					r.age(t)
				}
				must(t, r.WriteRequest(nil))
				must(t, test.mess(r))
				must(t, r.Clean())
				if got := tree(t, r); !slices.Equal(got, fresh) {
					t.Fatalf("after Clean:\n%s\nfresh:\n%s", strings.Join(got, "\n"), strings.Join(fresh, "\n"))
				}
				must(t, r.WriteRequest([]byte("{}")))
				if b, err := os.ReadFile(r.Request()); err != nil || string(b) != "{}" {
					t.Fatalf("request: %q, %v", b, err)
				}
				_ = os.Remove(filepath.Dir(r.dir) + "/kept")
			}
		})
	}
}

// age waits until the file system's clock has passed the last change of the workspace.
func (r *Workspace) age(t *testing.T) {
	t.Helper()
	testenv.Eventually(t, "the workspace's last change is past", func() bool { return time.Now().After(r.lastChange().Add(2 * clockGranularity)) })
}

// lastChange returns when a folder of the workspace was last changed.
func (r *Workspace) lastChange() time.Time {
	var last time.Time
	for i := range r.folders {
		if at := time.Unix(r.folders[i].changed.Unix()); at.After(last) {
			last = at
		}
	}
	return last
}

func TestARoomThatWasNotTouchedIsLeftAsItIs(t *testing.T) {
	r := newWorkspace(t)
	must(t, r.WriteRequest(nil))
	untouched := func() (all, none bool) {
		all, none = true, true
		for i := range r.folders {
			all, none = all && r.untouched(i), none && !r.untouched(i)
		}
		return all, none
	}
	if _, none := untouched(); !none {
		t.Fatal("a workspace that was just made counts as untouched")
	}
	must(t, r.Clean())
	r.age(t)
	if _, none := untouched(); !none {
		t.Fatal("a workspace that no call used counts as untouched")
	}
	must(t, r.WriteRequest([]byte("request")))
	if all, _ := untouched(); !all {
		t.Fatal("a workspace that did not change counts as touched")
	}
	must(t, r.Clean())
}

func itoa(i int) string {
	return strings.Repeat("i", i%7) + string(rune('0'+i%10)) + strings.Repeat("x", i/50)
}

// deepTree makes nested folders by descriptors, because their path would be too long.
func deepTree(dir string, levels int) error {
	fd, err := unix.Open(dir, openDir, 0)
	for range levels {
		if err != nil {
			return err
		}
		if err = unix.Mkdirat(fd, "d", 0o700); err != nil {
			break
		}
		var next int
		next, err = unix.Openat(fd, "d", openDir, 0)
		_ = unix.Close(fd)
		fd = next
	}
	_ = unix.Close(fd)
	return err
}

func TestRequestIsWhollyRewritten(t *testing.T) {
	r := newWorkspace(t)
	for _, text := range []string{strings.Repeat("long", 2000), "short", "", "longer again"} {
		must(t, r.WriteRequest([]byte(text)))
		must(t, os.WriteFile(r.Request(), []byte(text+"!"), 0o600))
		must(t, r.Clean())
		must(t, r.WriteRequest([]byte(text)))
		if b, err := os.ReadFile(r.Request()); err != nil || string(b) != text {
			t.Fatalf("got %d bytes, %v; want %d", len(b), err, len(text))
		}
	}
}

func TestPrepareCopiesSourceEntriesOfResults(t *testing.T) {
	r := newWorkspace(t)
	must(t, r.Prepare([]string{"data/**", "*.sh", "other/app.sh"}))
	if info, err := os.Lstat(r.Work() + "/app.sh"); err != nil || info.Mode().Type() != fs.ModeSymlink {
		t.Fatalf("app.sh: %v, %v", info, err)
	}
	must(t, os.WriteFile(r.Work()+"/data/in.txt", []byte("written"), 0o600))
	b, err := os.ReadFile(r.Work() + "/data/link.txt")
	if err != nil || string(b) != "written" {
		t.Fatalf("the link inside the copy gives %q, %v", b, err)
	}
	if b, err = os.ReadFile(r.source.links["data"] + "/in.txt"); err != nil || string(b) != "in" {
		t.Fatalf("the source has %q, %v", b, err)
	}
}

func TestNamesOfUploads(t *testing.T) {
	tests := []struct{ sent, kept, fault string }{
		{"photo.png", "photo.png", ""},
		{"my photo (1).png", "my photo (1).png", ""},
		{"größe 🙂.txt", "größe 🙂.txt", ""},
		{"/etc/passwd", "passwd", ""},
		{"../../up.txt", "up.txt", ""},
		{`C:\Users\me\a.txt`, "a.txt", ""},
		{`mixed/a\b.txt`, "b.txt", ""},
		{"-rf", "-rf", ""},
		{"...", "...", ""},
		{strings.Repeat("x", 255), strings.Repeat("x", 255), ""},
		{strings.Repeat("x", 256), "", "256 bytes"},
		{strings.Repeat("x", 5000), "", "5000 bytes"},
		{"", "", "no name"},
		{"folder/", "", "no name"},
		{".", "", "folder"},
		{"a/..", "", "folder"},
		{"a\x00b", "", "control"},
		{"a\nb", "", "control"},
		{"a\u0085b", "", "control"},
		{"a\x7fb", "", "control"},
		{"caf\xe9", "", "UTF-8"},
		{"app.sh", "", "source"},
		{"x/data", "", "source"},
	}
	for _, test := range tests {
		r := newWorkspace(t)
		file, kept, err := r.Create(test.sent)
		if fault, is := errors.AsType[*form.Fault](err); test.fault != "" {
			if !is || !strings.Contains(fault.Detail, test.fault) {
				t.Errorf("%q: got %v, want a fault with %q", test.sent, err, test.fault)
			}
			continue
		}
		if err != nil || kept != test.kept {
			t.Errorf("%q: kept as %q, %v", test.sent, kept, err)
			continue
		}
		_ = file.Close()
		_, _, err = r.Create("other/" + kept)
		if fault, is := errors.AsType[*form.Fault](err); !is || !strings.Contains(fault.Detail, "two files") {
			t.Errorf("%q a second time: %v", test.sent, err)
		}
	}
}

func BenchmarkClean(b *testing.B) {
	r := newWorkspace(b)
	for b.Loop() {
		if err := r.Clean(); err != nil {
			b.Fatal(err)
		}
	}
}
