package embedded

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/alicebob/miniredis/v2/server"
)

const (
	maxSessions    = 1024
	greetWithin    = 10 * time.Second // how long a client may take to send the password
	greetBytes     = 16 << 10         // the size of one command before the password
	greetArguments = 16
	flushBytes     = 64 << 10
	keepBytes      = 1 << 20 // a larger reply buffer is freed after its replies are sent
)

func newSession(s *Server, conn net.Conn) *session {
	session := &session{server: s, conn: conn}
	session.sink = bufio.NewWriter(&session.replies)
	session.peer = server.NewPeer(session.sink)
	session.requests = newRequestReader(session, limits{arguments: greetArguments, bytes: greetBytes})
	return session
}

// Read sends the replies before it waits for the client.
func (s *session) Read(p []byte) (int, error) {
	if err := s.flush(); err != nil {
		return 0, err
	}
	return s.conn.Read(p)
}

func (s *session) serve() {
	defer s.end()
	if s.conn.SetReadDeadline(time.Now().Add(greetWithin)) != nil {
		return
	}
	for !s.peer.Closed() {
		args, err := s.requests.next()
		var fault protocolError
		if errors.As(err, &fault) {
			s.peer.WriteError("ERR " + fault.Error())
		}
		if err != nil {
			return
		}
		s.handle(strings.ToUpper(args[0]), args)
		s.peer.Flush()
		if s.replies.Len() > flushBytes && s.flush() != nil {
			return
		}
	}
}

// end sends the remaining replies, closes the connection, and returns when all goroutines of the session have ended.
func (s *session) end() {
	_ = s.flush() // the client may have closed the connection
	if s.subscriber != nil {
		s.server.channels.leave(s.subscriber)
		s.subscriber.end()
		s.sending.Wait()
	}
	_ = s.conn.Close()
}

func (s *session) closeConn() { _ = s.conn.Close() }

func (s *session) flush() error {
	s.peer.Flush()
	if s.replies.Len() == 0 {
		return nil
	}
	var err error
	if s.subscriber != nil {
		s.subscriber.push(s.replies.Bytes())
	} else {
		_, err = s.conn.Write(s.replies.Bytes())
	}
	if s.replies.Reset(); s.replies.Cap() > keepBytes {
		s.replies = bytes.Buffer{}
	}
	return err
}

// handle executes one command. The session executes commands about the connection, the server commands about itself,
// the database all others.
func (s *session) handle(name string, args []string) {
	if !s.admit(name) {
		return
	}
	if s.connection(name, args) {
		return
	}
	if name == "SELECT" || name == "PUBLISH" || name == "INFO" {
		s.server.handle(s.peer, name, args)
		return
	}
	s.server.database.execute(s.peer, name, args)
}

// admit reports whether the command may be executed now; if not, it answers the command.
func (s *session) admit(name string) bool {
	switch {
	case !s.authenticated && name != "AUTH" && name != "HELLO" && name != "QUIT":
		s.peer.WriteError("NOAUTH Authentication required.")
	case name == "MULTI":
		s.refused = true
		s.peer.WriteError(refusal(name))
	case s.refused:
		// The command is a part of a transaction, which must run as a whole or not at all.
		s.refused = name != "EXEC" && name != "DISCARD"
		s.peer.WriteError("EXECABORT " + name + " was not executed, for its MULTI was refused")
	case s.subscribed() && !s.peer.Resp3 && !allowedSubscribed(name):
		s.peer.WriteError("ERR Can't execute '" + strings.ToLower(name) + "': only SUBSCRIBE / UNSUBSCRIBE / PING / QUIT are allowed in this context")
	default:
		return true
	}
	return false
}

func allowedSubscribed(name string) bool {
	return name == "SUBSCRIBE" || name == "UNSUBSCRIBE" || name == "PING" || name == "QUIT"
}

func (s *session) subscribed() bool { return s.subscriber != nil && len(s.subscriber.names) > 0 }

// authenticate checks user and password in constant time.
func (s *session) authenticate(user, password string) bool {
	given, wanted := sha256.Sum256([]byte(password)), sha256.Sum256([]byte(s.server.options.Password))
	if user != "default" || subtle.ConstantTimeCompare(given[:], wanted[:]) != 1 {
		s.peer.WriteError("WRONGPASS invalid username-password pair or user is disabled.")
		return false
	}
	s.authenticated = true
	s.requests.limits = limits{arguments: maxArguments, bytes: maxRequestBytes}
	_ = s.conn.SetReadDeadline(time.Time{}) // if this fails, the next read fails too
	return true
}

func (s *session) subscribe(names []string) {
	if s.subscriber == nil {
		if s.flush() != nil {
			return // the next read fails too
		}
		s.subscriber = newSubscriber(s.conn, s.peer.Resp3)
		s.sending.Go(s.subscriber.run)
	}
	for _, name := range names {
		s.server.channels.add(s.subscriber, name)
	}
}

func (s *session) unsubscribe(names []string) {
	if !s.subscribed() {
		s.peer.Block(func(w *server.Writer) {
			w.WritePushLen(3)
			w.WriteBulk("unsubscribe")
			w.WriteNull()
			w.WriteInt(0)
		})
		return
	}
	if len(names) == 0 {
		for name := range s.subscriber.names {
			names = append(names, name)
		}
	}
	_ = s.flush() // sends the replies of the commands before this one first
	for _, name := range names {
		s.server.channels.remove(s.subscriber, name)
	}
}
