package embedded

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"davit/internal/testenv"
)

func TestCompactionUnderLoad(t *testing.T) {
	dir := t.TempDir()
	s := start(t, Options{Dir: dir, CompactBytes: 4 << 10})
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	writers := make([]writer, 4)
	var running sync.WaitGroup
	for i := range writers {
		client := connect(t, s.URL())
		running.Go(func() { writers[i].run(ctx, client, fmt.Sprint(i)) })
	}
	compactions := 0
	for last := int64(0); ctx.Err() == nil; {
		s.database.mu.Lock()
		if base := s.database.journal.snapshot; base != last {
			compactions, last = compactions+1, base
		}
		s.database.mu.Unlock()
		if err := s.database.compact(ctx); err != nil && ctx.Err() == nil {
			t.Error(err)
		}
	}
	running.Wait()
	if compactions < 3 {
		t.Errorf("only %d compactions", compactions)
	}
	client := connect(t, s.URL())
	for i, w := range writers {
		checkWriter(t, client, fmt.Sprint(i), w)
	}
	want := contents(t, client)
	copied := copyFolder(t, dir)
	closeServer(t, s)
	for _, dir := range []string{dir, copied} {
		s := start(t, Options{Dir: dir})
		sameContents(t, "started again", contents(t, connect(t, s.URL())), want)
	}
}

func TestTheJournalIsCompactedAsItGrows(t *testing.T) {
	dir := t.TempDir()
	s := start(t, Options{Dir: dir, CompactBytes: 64 << 10})
	client := connect(t, s.URL())
	for range 20 {
		pipe := client.Pipeline()
		for i := range 200 {
			pipe.Set(t.Context(), "k", strconv.Itoa(i), 0)
		}
		if _, err := pipe.Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	testenv.Eventually(t, "a small journal", func() bool {
		info, err := os.Stat(filepath.Join(dir, journalName))
		return err == nil && info.Size() < 64<<10
	})
}

// However a compaction is cut short, the journal counts and what it left is removed.
func TestACompactionThatDidNotFinish(t *testing.T) {
	dir := t.TempDir()
	s := start(t, Options{Dir: dir})
	client := connect(t, s.URL())
	fill(t, client)
	want := contents(t, client)
	ended, cancel := contextCancelled(t)
	defer cancel()
	if err := s.database.compact(ended); err == nil {
		t.Error("it ignores its context")
	}
	if err := client.Set(t.Context(), "after", "v", 0).Err(); err != nil {
		t.Error(err)
	}
	closeServer(t, s)
	for _, left := range []string{"", "DAVITJ1\n", "nonsense"} {
		if err := os.WriteFile(filepath.Join(dir, nextName), []byte(left), 0o600); err != nil {
			t.Fatal(err)
		}
		s := start(t, Options{Dir: dir})
		client := connect(t, s.URL())
		got := contents(t, client)
		delete(got, "after")
		sameContents(t, "started again", got, want)
		closeServer(t, s)
		if _, err := os.Stat(filepath.Join(dir, nextName)); !os.IsNotExist(err) {
			t.Errorf("%s is still there, %v", nextName, err)
		}
	}
}

// miniredis keeps a little for every key that ever was; a compaction frees it.
func TestCompactionGivesWhatWasKeptForGoneKeysBack(t *testing.T) {
	s := start(t, Options{Dir: t.TempDir()})
	before := s.database.engine
	expect(t, s.URL(), step{"SET k v", `"OK"`}, step{"DEL k", "1"})
	if err := s.database.compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.database.engine == before {
		t.Error("the engine is the old one")
	}
}

func TestScoresAreKeptExactly(t *testing.T) {
	dir := t.TempDir()
	s := start(t, Options{Dir: dir})
	client := connect(t, s.URL())
	scores := []float64{
		0, math.Copysign(0, -1), 0.1, 0.1 + 0.2, 1.0 / 3, math.Pi, 1e15, 1e15 + 0.5, 1 << 53, 1<<53 + 2, 1700000000123, 1700000000000,
		math.MaxFloat64, -math.MaxFloat64, math.SmallestNonzeroFloat64, math.Inf(1), math.Inf(-1), 5e-310,
	}
	for i, score := range scores {
		if err := client.ZAdd(t.Context(), "z", redis.Z{Score: score, Member: strconv.Itoa(i)}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for round := range 3 {
		for i, want := range scores {
			got, err := client.ZScore(t.Context(), "z", strconv.Itoa(i)).Result()
			if err != nil || math.Float64bits(got) != math.Float64bits(want) && (got != 0 || want != 0) {
				t.Errorf("round %d: %v became %v, %v", round, want, got, err)
			}
			if kept, _ := s.database.engine.db.ZScore("z", strconv.Itoa(i)); math.Float64bits(kept) != math.Float64bits(want) {
				t.Errorf("round %d: %v is kept as %v", round, want, kept)
			}
		}
		closeServer(t, s)
		s = start(t, Options{Dir: dir})
		client = connect(t, s.URL())
	}
}
