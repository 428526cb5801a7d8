package embedded

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// Start opens the journal in Options.Dir, rebuilds the state without the keys that have expired, and serves it until
// Close. ctx bounds the start only. Start cuts off a partial write that a crash left at the end of the journal. Other
// damage is an error with the file's name and the offset; a folder that another process has open is an error too.
//
// The server acknowledges a write after it has given the write to the operating system: if the process is killed, no
// acknowledged write is lost. If the machine stops, at most the writes of the last Options.SyncEvery are lost (as with
// Redis' appendfsync everysec). A command that cannot be written to the journal does not run, and the server answers
// MISCONF.
func Start(ctx context.Context, options Options) (*Server, error) {
	s, err := open(ctx, options.complete())
	if err != nil {
		return nil, fmt.Errorf("start the embedded Redis: %w", err)
	}
	return s, nil
}

func open(ctx context.Context, options Options) (*Server, error) {
	lock, err := lockFolder(options.Dir)
	if err != nil {
		return nil, err
	}
	d, err := openDatabase(ctx, options)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", options.Addr)
	if err != nil {
		return nil, errors.Join(err, d.close(), lock.Close())
	}
	s := &Server{
		options: options, database: d, lock: lock, listener: listener,
		channels: newChannels(), sessions: map[*session]struct{}{},
	}
	d.publish = func(channel, message string) { s.channels.publish(channel, message) }
	background, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	s.background.Go(func() { s.expire(background) })
	s.background.Go(func() { s.sync(background) })
	s.background.Go(func() { s.compact(background) })
	s.serving.Go(s.accept)
	return s, nil
}

// Close closes all connections, then syncs and closes the journal. When Close returns, all goroutines of the server
// have ended. Later calls return the same error.
func (s *Server) Close() error {
	s.closing.Do(func() {
		s.cancel()
		err := s.listener.Close()
		s.mu.Lock()
		s.closed = true
		for session := range s.sessions {
			session.closeConn()
		}
		s.mu.Unlock()
		s.serving.Wait()
		s.background.Wait()
		s.closeErr = errors.Join(err, s.database.close(), s.lock.Close())
	})
	return s.closeErr
}

func (s *Server) accept() {
	for {
		conn, err := s.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			s.options.Log.Warn("cannot accept a connection to the embedded Redis", "error", err)
			time.Sleep(50 * time.Millisecond) // the process has probably no free file descriptor
			continue
		}
		s.open(conn)
	}
}

// open serves conn, unless there are maxSessions sessions or the server is closing.
func (s *Server) open(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.sessions) >= maxSessions {
		_, _ = conn.Write([]byte("-ERR max number of clients reached\r\n"))
		_ = conn.Close()
		return
	}
	session := newSession(s, conn)
	s.sessions[session] = struct{}{}
	s.serving.Go(func() {
		session.serve()
		s.mu.Lock()
		delete(s.sessions, session)
		s.mu.Unlock()
	})
}
