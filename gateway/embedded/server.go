package embedded

import (
	"bufio"
	"bytes"
	"context"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2/server"
)

// Options configure a server. Only Dir is required.
type Options struct {
	// Dir is the folder of the journal. The server creates it with mode 0700; no other program may use it.
	Dir string
	// Addr is the address to listen on; empty: a free port on 127.0.0.1.
	Addr string
	// Password is the password of every client; empty: a random one, which Server.URL contains. There is always a
	// password because every process of this machine can connect to a loopback port.
	Password string
	// Now is the clock for the expiry of keys; nil: time.Now.
	Now func() time.Time
	// Log is the log of background work; nil: slog.Default.
	Log *slog.Logger
	// SyncEvery is the interval at which the server syncs the journal with fsync; 0: 1 s.
	SyncEvery time.Duration
	// CompactBytes is by how much the journal grows beyond its snapshot before the server compacts it; the journal
	// grows to at least twice the snapshot. 0: 16 MiB.
	CompactBytes int64
}

// Server is a running server. Its methods may be called from any goroutine.
type Server struct {
	options    Options
	database   *database
	lock       *os.File
	listener   net.Listener
	channels   *channels
	cancel     context.CancelFunc
	background sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	sessions map[*session]struct{}
	serving  sync.WaitGroup
	closing  sync.Once
	closeErr error
}

// session serves one connection: it reads commands, executes them, and sends the replies before it waits for the next
// command.
type session struct {
	server   *Server
	conn     net.Conn
	requests *requestReader
	peer     *server.Peer
	replies  bytes.Buffer // receives the replies, so that a write to peer never blocks while database.mu is held
	sink     *bufio.Writer

	authenticated bool
	name          string
	refused       bool        // a MULTI was refused, and its EXEC has not arrived yet
	subscriber    *subscriber // writes to conn from the first SUBSCRIBE on
	sending       sync.WaitGroup
}
