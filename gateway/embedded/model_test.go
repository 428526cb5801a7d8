package embedded

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"
)

// TestAsAPlainServerWouldBe sends random commands to a server that is restarted, killed and compacted at random, and to
// a plain miniredis with the same clock, and compares every answer and, after each restart, everything that is kept.
func TestAsAPlainServerWouldBe(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := newMachine(t)
		defer m.close()
		rt.Repeat(map[string]func(*rapid.T){
			"command": m.command, "another command": m.command, "third command": m.command, "script": m.script,
			"time": m.time, "restart": m.restart, "kill": m.kill, "compact": m.compact,
		})
		m.restart(rt)
	})
}

type machine struct {
	t     *testing.T
	dir   string
	clock *testClock
	ours  *Server
	mine  *redis.Client
	plain *miniredis.Miniredis
	model *redis.Client
}

func newMachine(t *testing.T) *machine {
	m := &machine{t: t, dir: t.TempDir(), clock: newTestClock(), plain: miniredis.NewMiniRedis()}
	if err := m.plain.Start(); err != nil {
		t.Fatal(err)
	}
	m.plain.SetTime(m.clock.Now())
	m.plain.ClockTTL(true)
	m.model = redis.NewClient(&redis.Options{Addr: m.plain.Addr(), MaxRetries: -1, Protocol: 2})
	m.open()
	return m
}

func (m *machine) open() {
	var err error
	m.ours, err = Start(context.Background(), Options{Dir: m.dir, Now: m.clock.Now, Log: logTo(m.t)})
	if err != nil {
		m.t.Fatal(err)
	}
	options, err := redis.ParseURL(m.ours.URL())
	if err != nil {
		m.t.Fatal(err)
	}
	options.MaxRetries, options.Protocol = -1, 2
	m.mine = redis.NewClient(options)
}

func (m *machine) shut() {
	if err := m.mine.Close(); err != nil {
		m.t.Error(err)
	}
	closeServer(m.t, m.ours)
}

func (m *machine) close() {
	m.shut()
	if err := m.model.Close(); err != nil {
		m.t.Error(err)
	}
	m.plain.Close()
}

func (m *machine) both(rt *rapid.T, line string) {
	words := splitCommand(line)
	got, want := send(m.t.Context(), m.mine, words), send(m.t.Context(), m.model, words)
	if got != want {
		rt.Fatalf("%s answers %s, a plain server %s", line, got, want)
	}
}

func (m *machine) command(rt *rapid.T) { m.both(rt, randomCommand(rt)) }

// randomCommand is a random command on few keys, so that they meet.
func randomCommand(rt *rapid.T) string {
	line := rapid.SampledFrom([]string{
		"SET K V", "SET K V NX", "SET K V XX", "SET K V EX N", "SET K V PX M", "SET K V KEEPTTL", "SETNX K V", "SETEX K N V", "GET K", "DEL K K", "MSET K V K V",
		"INCR K", "INCRBY K N", "EXPIRE K N", "PEXPIRE K M", "PERSIST K", "PTTL K", "EXISTS K K", "TYPE K", "RENAME K K", "GETEX K PX M", "EXPIRE K N NX", "EXPIRE K N GT",
		"HSET K F V F V", "HGET K F", "HGETALL K", "HDEL K F F", "HINCRBY K F N", "SADD K F F", "SREM K F F", "SMEMBERS K", "SCARD K",
		"ZADD K N F N F", "ZADD K GT N F", "ZREM K F", "ZRANGE K 0 -1 WITHSCORES", "ZREMRANGEBYSCORE K 0 N", "ZRANGEBYSCORE K N +inf LIMIT 0 2", "ZREMRANGEBYLEX K - (F", "ZCARD K", "ZPOPMIN K",
		"LPUSH K V V", "RPUSH K V", "LPOP K", "RPOP K", "LRANGE K 0 -1", "LREM K 0 V", "LTRIM K 0 2", "DBSIZE", "KEYS *",
	}).Draw(rt, "command")
	words := strings.Fields(line)
	for i, word := range words[1:] {
		switch word {
		case "K":
			word = rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f"}).Draw(rt, "key")
		case "V":
			word = rapid.SampledFrom([]string{"v", "w", "7", "''", "'with space\r\n\x00'"}).Draw(rt, "value")
		case "F", "(F":
			word = strings.Replace(word, "F", rapid.SampledFrom([]string{"x", "y", "z"}).Draw(rt, "field"), 1)
		case "N":
			word = fmt.Sprint(rapid.IntRange(1, 20).Draw(rt, "number"))
		case "M":
			word = fmt.Sprint(rapid.IntRange(1, 20000).Draw(rt, "milliseconds"))
		}
		words[i+1] = word
	}
	return strings.Join(words, " ")
}

// script runs one to three commands as one.
func (m *machine) script(rt *rapid.T) {
	var text strings.Builder
	text.WriteString("local done = {}\n")
	for range rapid.IntRange(1, 3).Draw(rt, "commands") {
		var words []string
		for _, word := range splitCommand(randomCommand(rt)) {
			words = append(words, luaText(word.(string)))
		}
		// What a command answers is checked elsewhere; here it is what the script leaves behind.
		fmt.Fprintf(&text, "done[#done + 1] = type(redis.pcall(%s))\n", strings.Join(words, ", "))
	}
	text.WriteString("return done")
	words := []any{"EVAL", text.String(), "0"}
	got, want := send(m.t.Context(), m.mine, words), send(m.t.Context(), m.model, words)
	if got != want {
		rt.Fatalf("%s answers %s, a plain server %s", text.String(), got, want)
	}
}

func luaText(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		fmt.Fprintf(&b, "\\%03d", s[i])
	}
	b.WriteByte('"')
	return b.String()
}

func (m *machine) time(rt *rapid.T) {
	m.clock.Add(time.Duration(rapid.IntRange(1, 15000).Draw(rt, "milliseconds")) * time.Millisecond)
	m.plain.SetTime(m.clock.Now())
}

func (m *machine) restart(rt *rapid.T) {
	m.shut()
	m.open()
	m.same(rt)
}

// kill goes on with the files as they are while the server runs.
func (m *machine) kill(rt *rapid.T) {
	copied := copyFolder(m.t, m.dir)
	m.shut()
	m.dir = copied
	m.open()
	m.same(rt)
}

func (m *machine) compact(rt *rapid.T) {
	if err := m.ours.database.compact(m.t.Context()); err != nil {
		rt.Fatal(err)
	}
	m.same(rt)
}

func (m *machine) same(rt *rapid.T) {
	got, want := contents(m.t, m.mine), contents(m.t, m.model)
	sameContents(m.t, "after a restart", got, want)
	if m.t.Failed() {
		rt.FailNow()
	}
}
