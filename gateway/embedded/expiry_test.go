package embedded

import (
	"fmt"
	"testing"
	"time"

	"davit/internal/testenv"
)

// expect sends commands and compares the answers, as show writes them.
func expect(t *testing.T, url string, steps ...step) {
	t.Helper()
	client := connect(t, url)
	for _, s := range steps {
		if got := send(t.Context(), client, splitCommand(s.command)); got != s.want {
			t.Errorf("%s answers %s, want %s", s.command, got, s.want)
		}
	}
}

func TestWhatRanOutWhileTheServerWasDownIsGone(t *testing.T) {
	for _, compacted := range []bool{false, true} {
		t.Run(fmt.Sprintf("compacted %v", compacted), func(t *testing.T) {
			clock, dir := newTestClock(), t.TempDir()
			s := start(t, Options{Dir: dir, Now: clock.Now})
			expect(t, s.URL(),
				step{"SET short v EX 10", `"OK"`}, step{"SET long v EX 1000", `"OK"`}, step{"SET always v", `"OK"`},
				step{"HSET hash f v", "1"}, step{"PEXPIRE hash 10001", "1"},
				step{"EVAL 'redis.call(\"SETEX\", KEYS[1], 10, 1) return redis.call(\"EXPIRE\", KEYS[2], 500)' 2 scripted always", "1"})
			if compacted {
				if err := s.database.compact(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			closeServer(t, s)
			clock.Add(10 * time.Second)
			s = start(t, Options{Dir: dir, Now: clock.Now})
			expect(t, s.URL(),
				step{"KEYS *", `["always" "hash" "long"]`}, step{"TTL long", "990"}, step{"TTL always", "490"}, step{"PTTL hash", "1"},
				step{"SET short w NX", `"OK"`}, step{"TTL short", "-1"})
			closeServer(t, s)
			clock.Add(2000 * time.Second)
			s = start(t, Options{Dir: dir, Now: clock.Now})
			expect(t, s.URL(), step{"KEYS *", `["short"]`})
		})
	}
}

// The instant counts, not the next tick.
func TestAKeyIsGoneTheMomentItRunsOut(t *testing.T) {
	clock := newTestClock()
	s := start(t, Options{Dir: t.TempDir(), Now: clock.Now})
	expect(t, s.URL(), step{"SET k v PX 100", `"OK"`}, step{"HSET h f v", "1"}, step{"PEXPIRE h 100", "1"})
	clock.Add(99 * time.Millisecond)
	expect(t, s.URL(), step{"GET k", `"v"`}, step{"PTTL k", "1"}, step{"EXISTS k h", "2"})
	clock.Add(time.Millisecond)
	expect(t, s.URL(),
		step{"GET k", "nil"}, step{"PTTL k", "-2"}, step{"EXISTS k h", "0"}, step{"DBSIZE", "0"}, step{"HGETALL h", "{}"},
		step{"EVAL 'return redis.call(\"SETNX\", KEYS[1], 1)' 1 k", "1"}, step{"TTL k", "-1"})
}

// A clock that is set back, between commands or between runs, must not bring back what was deleted, nor make a replay
// differ.
func TestAClockThatGoesBack(t *testing.T) {
	clock, dir := newTestClock(), t.TempDir()
	s := start(t, Options{Dir: dir, Now: clock.Now})
	expect(t, s.URL(), step{"SET k old EX 10", `"OK"`}, step{"SET other v EX 10", `"OK"`})
	clock.Add(11 * time.Second)
	expect(t, s.URL(), step{"EXISTS k other", "0"})
	clock.Add(-11 * time.Second)
	expect(t, s.URL(), step{"SET k new NX", `"OK"`}, step{"TTL k", "-1"}, step{"EXISTS other", "0"})
	copied := copyFolder(t, dir)
	s = start(t, Options{Dir: copied, Now: clock.Now})
	expect(t, s.URL(), step{"GET k", `"new"`}, step{"TTL k", "-1"}, step{"EXISTS other", "0"})
}

// Thousands of keys run out between two writes; a replay has to see that before the second.
func TestManyKeysThatRunOut(t *testing.T) {
	clock, dir := newTestClock(), t.TempDir()
	s := start(t, Options{Dir: dir, Now: clock.Now})
	client := connect(t, s.URL())
	pipe := client.Pipeline()
	for i := range 2500 {
		pipe.Set(t.Context(), fmt.Sprint("key ", i), "v", time.Second)
	}
	if _, err := pipe.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	clock.Add(time.Second)
	expect(t, s.URL(), step{"DBSIZE", "0"}, step{"SETNX 'key 7' w", "1"})
	clock.Add(-time.Hour)
	s = start(t, Options{Dir: copyFolder(t, dir), Now: clock.Now})
	expect(t, s.URL(), step{"KEYS *", `["key 7"]`}, step{"GET 'key 7'", `"w"`})
}

func TestExpiredKeysLeaveMemoryUnasked(t *testing.T) {
	s := start(t, Options{Dir: t.TempDir()})
	expect(t, s.URL(), step{"SET k v PX 1", `"OK"`})
	testenv.Eventually(t, "the key to be removed", func() bool {
		s.database.mu.Lock()
		defer s.database.mu.Unlock()
		return len(s.database.engine.db.Keys()) == 0 && len(s.database.engine.deadlines.heap) == 0
	})
}

// A script sees one instant from its begin to its end, the same in a replay.
func TestAScriptIsReplayedAtItsInstant(t *testing.T) {
	clock, dir := newTestClock(), t.TempDir()
	s := start(t, Options{Dir: dir, Now: clock.Now})
	expect(t, s.URL(),
		step{"EVAL 'local now = redis.call(\"TIME\") redis.call(\"SET\", KEYS[1], now[1]) redis.call(\"EXPIRE\", KEYS[1], 60) return now[1]' 1 k", `"1700000000"`})
	clock.Add(30 * time.Second)
	s = start(t, Options{Dir: copyFolder(t, dir), Now: clock.Now})
	expect(t, s.URL(), step{"GET k", `"1700000000"`}, step{"TTL k", "30"})
}

func TestScriptsThatOnlyReadAreNotInTheJournal(t *testing.T) {
	s := start(t, Options{Dir: t.TempDir()})
	expect(t, s.URL(), step{"EVAL 'return redis.call(\"GET\", KEYS[1])' 1 k", "nil"})
	before := s.database.journal.size
	expect(t, s.URL(), step{"EVAL 'return redis.call(\"GET\", KEYS[1])' 1 k", "nil"}, step{"GET k", "nil"}, step{"PUBLISH c m", "0"})
	if after := s.database.journal.size; after != before {
		t.Errorf("the journal grew from %d to %d bytes", before, after)
	}
}
