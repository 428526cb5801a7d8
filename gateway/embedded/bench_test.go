package embedded

import (
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"davit/internal/testenv"
)

// BenchmarkCommands compares with a real redis-server on the same machine, which syncs as seldom.
func BenchmarkCommands(b *testing.B) {
	for name, url := range map[string]string{
		"embedded": start(b, Options{Dir: b.TempDir()}).URL(),
		"redis":    "redis://" + testenv.Redis(b) + "/0",
	} {
		client := connect(b, url)
		b.Run("SET/"+name, func(b *testing.B) {
			for b.Loop() {
				if err := client.Set(b.Context(), "k", "some value", 0).Err(); err != nil {
					b.Fatal(err)
				}
			}
			perSecond(b, 1)
		})
		b.Run("GET/"+name, func(b *testing.B) {
			for b.Loop() {
				if err := client.Get(b.Context(), "k").Err(); err != nil {
					b.Fatal(err)
				}
			}
			perSecond(b, 1)
		})
		b.Run("EVALSHA/"+name, func(b *testing.B) {
			script := redis.NewScript(`if redis.call("GET", KEYS[1]) then redis.call("HSET", KEYS[2], ARGV[1], ARGV[2]) end return 1`)
			for b.Loop() {
				if err := script.Run(b.Context(), client, []string{"k", "h"}, "field", "value").Err(); err != nil {
					b.Fatal(err)
				}
			}
			perSecond(b, 1)
		})
		b.Run("SET in pipelines of 100/"+name, func(b *testing.B) {
			for b.Loop() {
				pipe := client.Pipeline()
				for i := range 100 {
					pipe.Set(b.Context(), fmt.Sprint("key ", i), "some value", time.Hour)
				}
				if _, err := pipe.Exec(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			perSecond(b, 100)
		})
		b.Run("SET by 8 callers/"+name, func(b *testing.B) {
			b.SetParallelism(4)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := client.Set(b.Context(), "k", "some value", 0).Err(); err != nil {
						b.Error(err)
						return
					}
				}
			})
			perSecond(b, 1)
		})
	}
}

func perSecond(b *testing.B, commands int) {
	b.ReportMetric(float64(b.N*commands)/b.Elapsed().Seconds(), "commands/s")
}

// BenchmarkStart starts with 100,000 keys: from their snapshot, and from the commands that wrote them, which includes
// making the snapshot.
func BenchmarkStart(b *testing.B) {
	written := b.TempDir()
	s := start(b, Options{Dir: written, CompactBytes: 1 << 40})
	client := connect(b, s.URL())
	for i := range 100 {
		pipe := client.Pipeline()
		for j := range 1000 {
			pipe.HSet(b.Context(), fmt.Sprintf("davit:invocation:%d", i*1000+j), "record", fmt.Sprintf("%0300d", j), "state", "succeeded")
			pipe.Expire(b.Context(), fmt.Sprintf("davit:invocation:%d", i*1000+j), 24*time.Hour)
		}
		if _, err := pipe.Exec(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	commands := copyFolder(b, written)
	b.Run("compaction meanwhile", func(b *testing.B) {
		var longest time.Duration
		for b.Loop() {
			longest = max(longest, compactWhileAsked(b, s))
		}
		b.ReportMetric(float64(longest.Milliseconds()), "ms-longest-wait")
	})
	closeServer(b, s)
	b.Run("from a snapshot", func(b *testing.B) {
		for b.Loop() {
			closeServer(b, start(b, Options{Dir: written}))
		}
	})
	b.Run("from commands", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			dir := copyFolder(b, commands)
			b.StartTimer()
			closeServer(b, start(b, Options{Dir: dir}))
		}
	})
}

// compactWhileAsked compacts, and returns how long a caller waits at most meanwhile.
func compactWhileAsked(b *testing.B, s *Server) time.Duration {
	client := connect(b, s.URL())
	ended := make(chan error)
	go func() { ended <- s.database.compact(b.Context()) }()
	var longest time.Duration
	for {
		select {
		case err := <-ended:
			if err != nil {
				b.Fatal(err)
			}
			return longest
		default:
			asked := time.Now()
			if err := client.Incr(b.Context(), "n").Err(); err != nil {
				b.Fatal(err)
			}
			longest = max(longest, time.Since(asked))
		}
	}
}
