package embedded

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

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

func (s *Server) accept() {
	for {
		conn, err := s.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			s.options.Log.Warn("A connection to the embedded Redis could not be accepted.", "error", err)
			time.Sleep(50 * time.Millisecond) // out of descriptors, most likely
			continue
		}
		s.open(conn)
	}
}

// open serves conn, unless there are too many or the server is closing.
func (s *Server) open(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.sessions) >= mostSessions {
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
