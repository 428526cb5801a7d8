package embedded

import (
	"fmt"
	"strings"

	"github.com/alicebob/miniredis/v2/server"
)

// version is the Redis version whose semantics the server has.
const version = "7.0.15"

// connection executes a command about the connection itself. It returns false for any other command.
func (s *session) connection(name string, args []string) bool {
	c := s.peer
	switch name {
	case "AUTH":
		s.auth(args[1:])
	case "HELLO":
		s.hello(args[1:])
	case "PING":
		s.ping(args[1:])
	case "ECHO":
		if len(args) != 2 {
			c.WriteError(errArguments("echo").Error())
			break
		}
		c.WriteBulk(args[1])
	case "QUIT":
		c.WriteOK()
		c.Close()
	case "CLIENT":
		s.client(args[1:])
	case "SUBSCRIBE":
		if len(args) < 2 {
			c.WriteError(errArguments("subscribe").Error())
			break
		}
		_ = s.flush() // sends the replies of the commands before this one first
		s.subscribe(args[1:])
	case "UNSUBSCRIBE":
		s.unsubscribe(args[1:])
	default:
		return false
	}
	return true
}

func (s *session) auth(args []string) {
	user, password := "default", ""
	switch len(args) {
	case 1:
		password = args[0]
	case 2:
		user, password = args[0], args[1]
	default:
		s.peer.WriteError(errArguments("auth").Error())
		return
	}
	if s.authenticate(user, password) {
		s.peer.WriteOK()
	}
}

// hello executes HELLO [2|3 [AUTH user password] [SETNAME name]].
func (s *session) hello(args []string) {
	resp3 := s.peer.Resp3
	if len(args) > 0 {
		if args[0] != "2" && args[0] != "3" {
			s.peer.WriteError("NOPROTO unsupported protocol version")
			return
		}
		resp3, args = args[0] == "3", args[1:]
	}
	name := s.name
	for len(args) > 0 {
		switch option := strings.ToUpper(args[0]); {
		case option == "AUTH" && len(args) >= 3:
			if !s.authenticate(args[1], args[2]) {
				return
			}
			args = args[3:]
		case option == "SETNAME" && len(args) >= 2:
			name, args = args[1], args[2:]
		default:
			s.peer.WriteError(fmt.Sprintf("ERR Syntax error in HELLO option '%.64s'", args[0]))
			return
		}
	}
	if !s.authenticated {
		s.peer.WriteError("NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto>" +
			" AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time")
		return
	}
	s.name, s.peer.Resp3 = name, resp3
	s.writeHello()
}

func (s *session) writeHello() {
	s.peer.Block(func(w *server.Writer) {
		w.WriteMapLen(7)
		for _, pair := range [][2]string{{"server", "redis"}, {"version", version}, {"mode", "standalone"}, {"role", "master"}} {
			w.WriteBulk(pair[0])
			w.WriteBulk(pair[1])
		}
		w.WriteBulk("proto")
		if s.peer.Resp3 {
			w.WriteInt(3)
		} else {
			w.WriteInt(2)
		}
		w.WriteBulk("id")
		w.WriteInt(1)
		w.WriteBulk("modules")
		w.WriteLen(0)
	})
}

// ping answers MISCONF while the journal cannot be written, as Redis does, so that a health check fails then.
func (s *session) ping(args []string) {
	if len(args) > 1 {
		s.peer.WriteError(errArguments("ping").Error())
		return
	}
	text := strings.Join(args, "")
	if s.subscribed() && !s.peer.Resp3 {
		s.peer.WriteStrings([]string{"pong", text})
		return
	}
	if err := s.server.database.writable(); err != nil {
		s.peer.WriteError(err.Error())
		return
	}
	if len(args) == 0 {
		s.peer.WriteInline("PONG")
		return
	}
	s.peer.WriteBulk(text)
}

func (s *session) client(args []string) {
	sub := ""
	if len(args) > 0 {
		sub = strings.ToUpper(args[0])
	}
	switch {
	case sub == "SETNAME" && len(args) == 2:
		s.name = args[1]
		s.peer.WriteOK()
	case sub == "GETNAME" && len(args) == 1 && s.name == "":
		s.peer.WriteNull()
	case sub == "GETNAME" && len(args) == 1:
		s.peer.WriteBulk(s.name)
	case sub == "SETINFO" && len(args) == 3:
		s.peer.WriteOK()
	default:
		s.peer.WriteError(fmt.Sprintf("ERR unknown subcommand or wrong number of arguments for '%.64s'", sub))
	}
}

// handle executes a command about the server as a whole.
func (s *Server) handle(c *server.Peer, name string, args []string) {
	switch {
	case name == "SELECT" && len(args) == 2 && args[1] == "0":
		c.WriteOK()
	case name == "SELECT" && len(args) == 2:
		c.WriteError("ERR DB index is out of range: the embedded Redis has one database, 0")
	case name == "PUBLISH" && len(args) == 3:
		c.WriteInt(s.channels.publish(args[1], args[2]))
	case name == "INFO":
		c.WriteBulk(s.info())
	default:
		c.WriteError(errArguments(strings.ToLower(name)).Error())
	}
}

func (s *Server) info() string {
	s.mu.Lock()
	clients := len(s.sessions)
	s.mu.Unlock()
	d := s.database
	d.mu.Lock()
	defer d.mu.Unlock()
	status := "ok"
	if d.failure != nil {
		status = "err"
	}
	return strings.ReplaceAll(fmt.Sprintf(`# Server
redis_version:%s
redis_mode:standalone
davit_embedded:1

# Clients
connected_clients:%d

# Persistence
aof_enabled:1
aof_last_write_status:%s
aof_current_size:%d
aof_base_size:%d

# Replication
role:master
`, version, clients, status, d.journal.size, d.journal.snapshot), "\n", "\r\n")
}
