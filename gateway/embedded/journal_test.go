package embedded

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

// contents is all that a server holds, as text.
func contents(t testing.TB, client *redis.Client) map[string]string {
	t.Helper()
	ctx := t.Context()
	all := map[string]string{}
	keys, err := client.Keys(ctx, "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		var value any
		kind, err := client.Type(ctx, key).Result()
		if err != nil {
			t.Fatal(err)
		}
		switch kind {
		case "string":
			value, err = client.Get(ctx, key).Result()
		case "hash":
			value, err = client.HGetAll(ctx, key).Result()
		case "set":
			value, err = client.SMembersMap(ctx, key).Result()
		case "zset":
			value, err = client.ZRangeWithScores(ctx, key, 0, -1).Result()
		case "list":
			value, err = client.LRange(ctx, key, 0, -1).Result()
		}
		if err != nil {
			t.Fatal(err)
		}
		until, err := client.PExpireTime(ctx, key).Result()
		if err != nil {
			t.Fatal(err)
		}
		all[key] = fmt.Sprintf("%s %#v until %d", kind, value, until)
	}
	return all
}

func sameContents(t testing.TB, what string, got, want map[string]string) {
	t.Helper()
	if maps.Equal(got, want) {
		return
	}
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if got[key] != want[key] {
			t.Errorf("%s: %q is %q, want %q", what, key, got[key], want[key])
		}
	}
	for key := range got {
		if _, ok := want[key]; !ok {
			t.Errorf("%s: %q is there, and should not be", what, key)
		}
	}
}

// fill writes something of everything.
func fill(t testing.TB, client *redis.Client) {
	t.Helper()
	for _, command := range []string{
		"SET text 'a b\r\n\x00\xff'", "SET empty ''", "SET gone v", "DEL gone", "SET until v EX 3600", "SETEX setex 3600 v",
		"HSET hash a 1 b 2 c ''", "HDEL hash b", "HINCRBY hash a 41", "PEXPIRE hash 7200000", "SADD set x y z", "SREM set y",
		"ZADD zset 1 one 2.5 two -inf low inf high 0.1 tenth 1700000000123 ms 5e-324 tiny 1.7976931348623157e308 huge 0.30000000000000004 sum",
		"ZADD zset INCR 0.2 tenth", "RPUSH list b c", "LPUSH list a", "LREM list 1 b", "INCRBY counter 42",
		"EVAL 'redis.call(\"SET\", KEYS[1], ARGV[1], \"PX\", 5000000) return redis.call(\"TIME\")' 1 scripted v", "SCRIPT LOAD 'return 7'",
	} {
		if err := client.Do(t.Context(), splitCommand(command)...).Err(); err != nil {
			t.Fatalf("%s: %v", command, err)
		}
	}
	var large []any
	for i := range 3000 {
		large = append(large, fmt.Sprintf("member %04d", i))
	}
	if err := client.SAdd(t.Context(), "large", large...).Err(); err != nil {
		t.Fatal(err)
	}
	if err := client.Set(t.Context(), "long", strings.Repeat("long ", 1<<16), 0).Err(); err != nil {
		t.Fatal(err)
	}
}

func TestEverythingIsThereAgain(t *testing.T) {
	dir := t.TempDir()
	first := start(t, Options{Dir: dir})
	client := connect(t, first.URL())
	fill(t, client)
	want := contents(t, client)
	copied := copyFolder(t, dir) // as a killed process leaves it
	closeServer(t, first)
	for _, c := range []struct{ name, dir string }{{"closed", dir}, {"killed", copied}, {"from a snapshot", dir}, {"from a snapshot of a snapshot", dir}} {
		t.Run(c.name, func(t *testing.T) {
			s := start(t, Options{Dir: c.dir})
			client := connect(t, s.URL())
			sameContents(t, c.name, contents(t, client), want)
			if got, err := client.EvalSha(t.Context(), scriptName("return 7"), nil).Int(); got != 7 || err != nil {
				t.Errorf("the script answers %d, %v", got, err)
			}
			closeServer(t, s)
		})
	}
}

// copyFolder copies a server's folder while it runs.
func copyFolder(t testing.TB, dir string) string {
	t.Helper()
	to := t.TempDir()
	b, err := os.ReadFile(filepath.Join(dir, journalName))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(to, journalName), b, 0o600); err != nil {
		t.Fatal(err)
	}
	return to
}

func TestNobodyElseMayRead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	s := start(t, Options{Dir: dir})
	if err := s.database.compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, journalName): 0o600, filepath.Join(dir, lockName): 0o600} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %v, want %v", path, got, want)
		}
	}
}

func TestOneProcessAFolder(t *testing.T) {
	dir := t.TempDir()
	s := start(t, Options{Dir: dir})
	_, err := Start(t.Context(), Options{Dir: dir, Log: logTo(t)})
	want := fmt.Sprintf("start the embedded Redis: the folder %s is open in another gateway (process %d): stop that one,"+
		" or give this one another data folder", dir, os.Getpid())
	if err == nil || err.Error() != want {
		t.Errorf("a second server: %v\nwant %s", err, want)
	}
	closeServer(t, s)
	closeServer(t, start(t, Options{Dir: dir}))
}

// journalOf makes a journal with a snapshot and three commands after it, and says where they begin.
func journalOf(t testing.TB) (b []byte, frames []int64) {
	t.Helper()
	dir := t.TempDir()
	s := start(t, Options{Dir: dir})
	client := connect(t, s.URL())
	if err := client.Set(t.Context(), "old", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if err := s.database.compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"a", "b", "c"} {
		frames = append(frames, s.database.journal.size)
		if err := client.Set(t.Context(), key, "value of "+key, 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	closeServer(t, s)
	b, err := os.ReadFile(filepath.Join(dir, journalName))
	if err != nil {
		t.Fatal(err)
	}
	return b, append(frames, int64(len(b)))
}

// startWith starts a server on a journal of these bytes.
func startWith(t testing.TB, b []byte) (*Server, string, error) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, journalName), b, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Start(t.Context(), Options{Dir: dir, Log: logTo(t)})
	if err == nil {
		t.Cleanup(func() { closeServer(t, s) })
	}
	return s, filepath.Join(dir, journalName), err
}

func TestATornTailIsCutOff(t *testing.T) {
	whole, frames := journalOf(t)
	for cut := frames[0]; cut <= frames[3]; cut++ {
		s, _, err := startWith(t, whole[:cut])
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		var want []string
		for i, key := range []string{"a", "b", "c"} {
			if frames[i+1] <= cut {
				want = append(want, key)
			}
		}
		want = append(want, "old")
		if got := s.database.engine.db.Keys(); !slices.Equal(got, want) {
			t.Errorf("cut at %d: keys %q, want %q", cut, got, want)
		}
		closeServer(t, s)
	}
}

func TestATailOfOtherBytesIsCutOff(t *testing.T) {
	whole, frames := journalOf(t)
	for name, tail := range map[string][]byte{
		"zeroes":              make([]byte, 4096),
		"a frame of another":  bytes.Clone(whole[frames[2]:]),
		"half a frame":        whole[frames[2] : frames[3]-7],
		"a mark and nonsense": append(bytes.Clone(whole[frames[0]:frames[0]+4]), bytes.Repeat([]byte("nonsense"), 100)...),
		"many marks":          bytes.Repeat(whole[frames[0]:frames[0]+9], 1000),
	} {
		if name == "a frame of another" {
			tail[len(tail)-1] ^= 1
		}
		s, path, err := startWith(t, append(bytes.Clone(whole), tail...))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		closeServer(t, s)
		again, err := Start(t.Context(), Options{Dir: filepath.Dir(path), Log: logTo(t)})
		if err != nil {
			t.Errorf("%s, started again: %v", name, err)
			continue
		}
		if got := again.database.engine.db.Keys(); !slices.Equal(got, []string{"a", "b", "c", "old"}) {
			t.Errorf("%s: keys %q", name, got)
		}
		closeServer(t, again)
	}
}

func TestOtherDamageIsAnErrorThatSaysWhere(t *testing.T) {
	whole, frames := journalOf(t)
	for offset := range whole[:frames[2]] {
		b := bytes.Clone(whole)
		b[offset] ^= 0x10
		s, path, err := startWith(t, b)
		if err == nil {
			closeServer(t, s)
			t.Errorf("byte %d is damaged, and the server starts", offset)
			continue
		}
		if !strings.Contains(err.Error(), path) {
			t.Errorf("byte %d: the error does not name the file: %v", offset, err)
		}
		at := frames[0] // of the frame that is damaged
		if int64(offset) >= frames[1] {
			at = frames[1]
		}
		if says := fmt.Sprintf("damaged at byte %d: put a copy of it back, or, to keep only what is before the damage, run: truncate -s %d %s", at, at, path); int64(offset) >= frames[0] && !strings.Contains(err.Error(), says) {
			t.Errorf("byte %d: the error is %q, want %q in it", offset, err, says)
		}
		if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, b) {
			t.Errorf("byte %d: the file was changed, %v", offset, err)
		}
	}
}

func TestTheRemedyWorks(t *testing.T) {
	whole, frames := journalOf(t)
	b := bytes.Clone(whole)
	b[frames[1]+30] ^= 1
	_, path, err := startWith(t, b)
	if err == nil {
		t.Fatal("the damage is not seen")
	}
	if err := os.Truncate(path, frames[1]); err != nil {
		t.Fatal(err)
	}
	s := start(t, Options{Dir: filepath.Dir(path)})
	if got := s.database.engine.db.Keys(); !slices.Equal(got, []string{"a", "old"}) {
		t.Errorf("keys %q", got)
	}
}

func TestACutSnapshotIsAnError(t *testing.T) {
	whole, frames := journalOf(t)
	for cut := range frames[0] {
		s, path, err := startWith(t, whole[:cut])
		if err == nil {
			closeServer(t, s)
			t.Errorf("cut at %d, and the server starts", cut)
		} else if !strings.Contains(err.Error(), path) {
			t.Errorf("cut at %d: the error does not name the file: %v", cut, err)
		}
	}
}

func TestOtherFilesAreNotTouched(t *testing.T) {
	for name, b := range map[string][]byte{"empty": {}, "text": []byte("my precious notes, which are no journal"), "an rdb": []byte("REDIS0011\xfa")} {
		_, path, err := startWith(t, b)
		if err == nil {
			t.Errorf("%s: the server starts", name)
		}
		if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, b) {
			t.Errorf("%s: the file was changed, %v", name, err)
		}
	}
}

func TestAJournalOfANewerDavitIsRefused(t *testing.T) {
	var f framing
	head := f.appendFrame(f.fileHead(), frameSnapshotEnd, 0, nil)
	for name, c := range map[string]struct {
		frame []byte
		want  string
	}{
		"kind":    {f.appendFrame(nil, 'z', 0, []string{"SET", "k", "v"}), "a frame is of the unknown kind 'z': it was written by a newer Davit"},
		"command": {f.appendFrame(nil, frameCommand, 0, []string{"VSET", "k", "v"}), `the command "VSET" is not known: it was written by another Davit`},
		"reading": {f.appendFrame(nil, frameCommand, 0, []string{"GET", "k"}), `the command "GET" does not write`},
		"nothing": {f.appendFrame(nil, frameCommand, 0, nil), "a frame holds no command: EOF"},
	} {
		_, path, err := startWith(t, append(bytes.Clone(head), c.frame...))
		want := fmt.Sprintf("start the embedded Redis: read the journal %s, at byte %d: %s", path, len(head), c.want)
		if err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
	}
}

func TestAStartThatIsGivenUpLeavesNothingOpen(t *testing.T) {
	dir := t.TempDir()
	closeServer(t, start(t, Options{Dir: dir}))
	s := start(t, Options{Dir: t.TempDir()})
	if _, err := Start(t.Context(), Options{Dir: dir, Addr: s.Addr(), Log: logTo(t)}); err == nil {
		t.Error("two servers listen on one address")
	}
	ctx, cancel := contextCancelled(t)
	defer cancel()
	if _, err := Start(ctx, Options{Dir: dir, Log: logTo(t)}); !errors.Is(err, ctx.Err()) {
		t.Errorf("with its context ended: %v", err)
	}
	closeServer(t, start(t, Options{Dir: dir})) // its lock is free
}
