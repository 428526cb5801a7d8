package embedded

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"davit/internal/testenv"
)

// halves writes the same number to two keys, and to a list, as one.
const halves = `redis.call("SET", KEYS[1], ARGV[1])
redis.call("RPUSH", KEYS[3], ARGV[1])
redis.call("SET", KEYS[2], ARGV[1])
return 1`

// writer writes numbers in order until a write fails, and remembers the last one that was acknowledged.
type writer struct{ tried, acknowledged int }

func (w *writer) run(ctx context.Context, client *redis.Client, name string) {
	for {
		w.tried++
		n := strconv.Itoa(w.tried)
		keys := []string{name + ":left", name + ":right", name + ":all"}
		if client.Eval(ctx, halves, keys, n).Err() != nil {
			return
		}
		if client.Set(ctx, name+":plain", n, time.Hour).Err() != nil {
			return
		}
		w.acknowledged = w.tried
	}
}

func TestKilledInTheMiddleOfWrites(t *testing.T) {
	for round := range 5 {
		dir := t.TempDir()
		c := startChild(t, dir)
		writers := make([]writer, 4)
		var running sync.WaitGroup
		for i := range writers {
			client := connect(t, c.url)
			running.Go(func() { writers[i].run(t.Context(), client, fmt.Sprint(i)) })
		}
		watch := connect(t, c.url)
		testenv.Eventually(t, "enough writes", func() bool {
			return watch.LLen(t.Context(), "0:all").Val() > int64(100+round*150)
		})
		c.kill(t)
		running.Wait()
		s := start(t, Options{Dir: dir})
		client := connect(t, s.URL())
		for i, w := range writers {
			checkWriter(t, client, fmt.Sprint(i), w)
		}
		closeServer(t, s)
	}
}

// checkWriter checks that everything acknowledged is there, at most one write more, and no half of one.
func checkWriter(t *testing.T, client *redis.Client, name string, w writer) {
	t.Helper()
	ctx := t.Context()
	left, err := client.Get(ctx, name+":left").Int()
	if err != nil && !errors.Is(err, redis.Nil) {
		t.Fatal(err)
	}
	right, _ := client.Get(ctx, name+":right").Int()
	plain, _ := client.Get(ctx, name+":plain").Int()
	all := client.LRange(ctx, name+":all", 0, -1).Val()
	if left < w.acknowledged || left > w.tried || right != left || len(all) != left || plain < w.acknowledged || plain > left {
		t.Errorf("writer %s: acknowledged %d, tried %d; found %d, %d and %d, a list of %d", name, w.acknowledged, w.tried, left, right, plain, len(all))
	}
	for i, n := range all {
		if n != strconv.Itoa(i+1) {
			t.Errorf("writer %s: item %d is %s", name, i, n)
			break
		}
	}
}

func TestAFullDisk(t *testing.T) {
	dir := t.TempDir()
	c := startChild(t, dir, childLimit+"=50000", childCompact+"=100000000")
	client := connect(t, c.url)
	ctx := t.Context()
	var acknowledged []string
	var refused error
	for i := range 1000 {
		key := fmt.Sprintf("key %04d", i)
		if refused = client.Set(ctx, key, strings.Repeat("v", 100), time.Hour).Err(); refused != nil {
			break
		}
		acknowledged = append(acknowledged, key)
	}
	if refused == nil || !strings.HasPrefix(refused.Error(), "MISCONF the journal "+dir) || !strings.HasSuffix(refused.Error(), "file too large") {
		t.Fatalf("after %d writes: %v", len(acknowledged), refused)
	}
	if line := c.line(t); !strings.HasPrefix(line, "failed: write the journal") {
		t.Errorf("Err delivers %q", line)
	}
	for name, err := range map[string]error{
		"PING":          client.Ping(ctx).Err(),
		"a script":      client.Eval(ctx, halves, []string{"l", "r", "a"}, strings.Repeat("v", 200)).Err(),
		"a large write": client.Set(ctx, "large", strings.Repeat("v", 1<<20), 0).Err(),
	} {
		if err == nil || !strings.HasPrefix(err.Error(), "MISCONF ") {
			t.Errorf("%s on a full disk: %v", name, err)
		}
	}
	if n := client.Exists(ctx, "l", "r", "a", "large").Val(); n != 0 {
		t.Errorf("%d keys of refused writes are there", n)
	}
	want := contents(t, client) // reading goes on
	if len(want) < len(acknowledged) {
		t.Errorf("%d keys, %d were acknowledged", len(want), len(acknowledged))
	}

	if _, err := c.input.WriteString("lift the limit\n"); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "the server to notice that there is room", func() bool {
		return client.Ping(ctx).Err() == nil
	})
	if err := client.Set(ctx, "later", "v", 0).Err(); err != nil {
		t.Errorf("with room again: %v", err)
	}
	c.kill(t)
	s := start(t, Options{Dir: dir})
	again := connect(t, s.URL())
	if n := again.Del(ctx, "later").Val(); n != 1 {
		t.Errorf("what was written with room again is not there")
	}
	sameContents(t, "started again", contents(t, again), want)
	if missing := slices.DeleteFunc(acknowledged, func(key string) bool { return want[key] != "" }); len(missing) > 0 {
		t.Errorf("acknowledged and not there: %q", missing)
	}
}

func TestADiskThatFailsToSync(t *testing.T) {
	s := start(t, Options{Dir: t.TempDir(), SyncEvery: time.Hour})
	client := connect(t, s.URL())
	if err := client.Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if err := s.database.journal.file.Close(); err != nil { // fsync fails from here on
		t.Fatal(err)
	}
	s.database.sync()
	s.database.probe()
	if err := <-s.Err(); !errors.Is(err, errJournalLost) {
		t.Errorf("Err delivers %v", err)
	}
	err := client.Set(t.Context(), "k", "w", 0).Err()
	if err == nil || !strings.HasPrefix(err.Error(), "MISCONF ") {
		t.Errorf("a write is answered %v", err)
	}
	if got := client.Get(t.Context(), "k").Val(); got != "v" {
		t.Errorf("k is %q", got)
	}
	if err := s.database.compact(t.Context()); !errors.Is(err, errJournalLost) {
		t.Errorf("compaction: %v", err)
	}
	if err := s.Close(); !errors.Is(err, errJournalLost) {
		t.Errorf("close: %v", err)
	}
}
