// Package embedded is the default replacement of Redis: a server of the Redis protocol in the gateway's own process,
// with its data in one folder, so that Davit runs on a machine without Redis.
//
// The server serves the commands that Davit uses, on one database, with the semantics of Redis 7; the same tests run
// against a real Redis. The server is not meant for other programs: it refuses MULTI, blocking commands, other
// databases and random commands, and it sorts a sorted set again for each range query.
//
// A miniredis stores the data in memory (engine.go). A journal of write commands makes the data durable (journal.go,
// frame.go): the server writes each command to the journal before it runs the command (database.go), and rewrites a
// long journal as a snapshot (compaction.go). Start at Start; a command goes through session.handle, database.execute
// and engine.run.
package embedded

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"davit/internal/every"
)

const (
	defaultAddr         = "127.0.0.1:0"
	defaultSyncEvery    = time.Second
	defaultCompactBytes = 16 << 20
	expireEvery         = 100 * time.Millisecond
	compactAgainAfter   = time.Minute // the pause after a failed compaction
)

func (o Options) complete() Options {
	if o.Addr == "" {
		o.Addr = defaultAddr
	}
	if o.Password == "" {
		o.Password = rand.Text()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.SyncEvery <= 0 {
		o.SyncEvery = defaultSyncEvery
	}
	if o.CompactBytes <= 0 {
		o.CompactBytes = defaultCompactBytes
	}
	return o
}

// openDatabase reads the journal, and compacts it if it contains more than a snapshot.
func openDatabase(ctx context.Context, options Options) (*database, error) {
	// A killed compaction may have left its new journal, which never replaced the old one.
	if err := os.Remove(filepath.Join(options.Dir, nextName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	e, err := newEngine(options.Log)
	if err != nil {
		return nil, err
	}
	j, err := openJournal(ctx, options.Dir, e, options.Log)
	if err != nil {
		e.close()
		return nil, err
	}
	d := &database{
		dir: options.Dir, clock: options.Now, log: options.Log, errs: make(chan error, 1),
		engine: e, journal: j, publish: func(string, string) {},
	}
	d.tick()
	if j.size > j.snapshot {
		if err := d.compact(ctx); err != nil {
			// The journal is unchanged, so the server starts: on a full disk it still serves reads.
			options.Log.Warn("cannot compact the journal", "error", err)
		}
	}
	return d, nil
}

// Addr returns the host and port that the server listens on.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// URL returns the URL for clients. It contains the password.
func (s *Server) URL() string {
	u := url.URL{Scheme: "redis", User: url.UserPassword("", s.options.Password), Host: s.Addr(), Path: "/0"}
	return u.String()
}

// Err returns a channel that receives an error each time the journal becomes unwritable. Until the journal can be
// written again, writes and PING answer MISCONF. Close closes the channel.
func (s *Server) Err() <-chan error { return s.database.errs }

// expire removes expired keys, so that their memory is freed even if no command names them.
func (s *Server) expire(ctx context.Context) {
	every.Interval(ctx, expireEvery, func(context.Context) { s.database.tick() })
}

func (s *Server) sync(ctx context.Context) {
	every.Interval(ctx, s.options.SyncEvery, func(context.Context) {
		s.database.sync()
		s.database.probe()
	})
}

func (s *Server) compact(ctx context.Context) {
	var notBefore time.Time
	every.Interval(ctx, expireEvery, func(ctx context.Context) {
		if !s.database.due(s.options.CompactBytes) || time.Now().Before(notBefore) {
			return
		}
		if err := s.database.compact(ctx); err != nil && ctx.Err() == nil {
			s.options.Log.Warn("cannot compact the journal", "error", err)
			notBefore = time.Now().Add(compactAgainAfter)
		}
	})
}
