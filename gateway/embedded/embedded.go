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
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	defaultAddr         = "127.0.0.1:0"
	defaultSyncEvery    = time.Second
	defaultCompactBytes = 16 << 20
	expireEvery         = 100 * time.Millisecond
	compactAgainAfter   = time.Minute // when a compaction failed
)

// Options say where a server keeps its data and how it is reached. Only Dir is required.
type Options struct {
	// Dir is the folder of the journal. It belongs to the server alone, which makes it, with mode 0700.
	Dir string
	// Addr is the address to listen on; empty: a free port on 127.0.0.1.
	Addr string
	// Password is asked of every client; empty: a random one, which Server.URL tells. There is always
	// one, for whatever runs on this machine reaches a loopback port.
	Password string
	// Now is the clock for what runs out; nil: time.Now.
	Now func() time.Time
	// Log takes what happens in the background; nil: slog.Default.
	Log *slog.Logger
	// SyncEvery is how often what was written is made durable with fsync; 0: 1 s.
	SyncEvery time.Duration
	// CompactBytes is how much the journal grows beyond its snapshot before it is rewritten, at least to
	// twice the snapshot; 0: 16 MiB.
	CompactBytes int64
}

// Server is a running server. Its methods may be called from any goroutine.
type Server struct {
	options  Options
	keeper   *keeper
	lock     *os.File
	listener net.Listener
	channels *channels
	cancel   context.CancelFunc
	tending  sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	sessions map[*session]struct{}
	serving  sync.WaitGroup
	closing  sync.Once
	closeErr error
}

// Start opens the journal in Options.Dir, rebuilds the state that it describes, less what ran out
// meanwhile, and serves it until Close. ctx bounds the start only. An end of the journal that was torn by
// a crash is cut off; other damage is an error that names file and offset, and a folder that another
// process has open is an error too.
//
// A command is acknowledged when it was given to the operating system: if the process is killed, nothing
// acknowledged is lost. If the machine stops, at most the last Options.SyncEvery is (as with
// Redis' appendfsync everysec). A command that cannot be written to the journal does not run, and
// answers MISCONF.
func Start(ctx context.Context, options Options) (*Server, error) {
	s, err := open(ctx, options.complete())
	if err != nil {
		return nil, fmt.Errorf("start the embedded Redis: %w", err)
	}
	return s, nil
}

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

func open(ctx context.Context, options Options) (*Server, error) {
	lock, err := lockFolder(options.Dir)
	if err != nil {
		return nil, err
	}
	k, err := openKeeper(ctx, options)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", options.Addr)
	if err != nil {
		return nil, errors.Join(err, k.close(), lock.Close())
	}
	s := &Server{
		options: options, keeper: k, lock: lock, listener: listener,
		channels: newChannels(), sessions: map[*session]struct{}{},
	}
	k.publish = func(channel, message string) { s.channels.publish(channel, message) }
	background, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	s.tending.Go(func() { s.expire(background) })
	s.tending.Go(func() { s.sync(background) })
	s.tending.Go(func() { s.compact(background) })
	s.serving.Go(s.accept)
	return s, nil
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

// Close ends all connections, makes the journal durable and closes it. When it returns, nothing of the
// server runs any more. Later calls return the same.
func (s *Server) Close() error {
	s.closing.Do(func() {
		s.cancel()
		err := s.listener.Close()
		s.mu.Lock()
		s.closed = true
		for session := range s.sessions {
			session.hangUp()
		}
		s.mu.Unlock()
		s.serving.Wait()
		s.tending.Wait()
		s.closeErr = errors.Join(err, s.keeper.close(), s.lock.Close())
	})
	return s.closeErr
}

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
