// Package embedded is the embedded default for Redis: a server of the Redis protocol inside the gateway's
// own process, with its data in one folder, so that Davit runs on a machine that has only Go.
//
// It serves the commands that Davit uses, on one database, with the semantics of Redis 7, which the same
// tests hold it and a real server to. It is no Redis for others: MULTI, blocking commands, other
// databases and what is random are refused, and its sorted sets sort themselves anew for each range.
//
// State is miniredis' (engine.go). What makes it last is a journal of write commands (journal.go,
// frame.go), each written before it runs (keeper.go), and now and then rewritten as a snapshot
// (compaction.go). Start at Start; a command's way is session.handle, keeper.execute, engine.run.
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
)

const (
	defaultAddr         = "127.0.0.1:0"
	defaultSyncEvery    = time.Second
	defaultCompactBytes = 16 << 20
	expireEvery         = 100 * time.Millisecond
	compactAgainAfter   = time.Minute // when a compaction failed
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

// openKeeper reads the journal, and rewrites it if it holds more than a snapshot.
func openKeeper(ctx context.Context, options Options) (*keeper, error) {
	// What a compaction that was killed left behind was never the journal.
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
	k := &keeper{
		dir: options.Dir, clock: options.Now, log: options.Log, errs: make(chan error, 1),
		engine: e, journal: j, publish: func(string, string) {},
	}
	k.tick()
	if j.size > j.snapshot {
		if err := k.compact(ctx); err != nil {
			// The journal is as good as before, only longer. On a full disk, reading goes on.
			options.Log.Warn("The journal could not be compacted.", "error", err)
		}
	}
	return k, nil
}

// Addr is the host and port that the server listens on.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// URL is how a client reaches the server; it contains the password.
func (s *Server) URL() string {
	u := url.URL{Scheme: "redis", User: url.UserPassword("", s.options.Password), Host: s.Addr(), Path: "/0"}
	return u.String()
}

// Err delivers why the journal cannot be written, once each time that begins; until it can be again,
// writes and PING answer MISCONF. Close closes it.
func (s *Server) Err() <-chan error { return s.keeper.errs }

// expire removes what ran out, so that its memory is free though nobody asks for it.
func (s *Server) expire(ctx context.Context) { every(ctx, expireEvery, s.keeper.tick) }

func (s *Server) sync(ctx context.Context) {
	every(ctx, s.options.SyncEvery, func() {
		s.keeper.sync()
		s.keeper.probe()
	})
}

func (s *Server) compact(ctx context.Context) {
	var notBefore time.Time
	every(ctx, expireEvery, func() {
		if !s.keeper.due(s.options.CompactBytes) || time.Now().Before(notBefore) {
			return
		}
		if err := s.keeper.compact(ctx); err != nil && ctx.Err() == nil {
			s.options.Log.Warn("The journal could not be compacted.", "error", err)
			notBefore = time.Now().Add(compactAgainAfter)
		}
	})
}

func every(ctx context.Context, period time.Duration, do func()) {
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			do()
		}
	}
}
