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

// session serves one connection: it reads commands, has them executed, and writes the replies when it
// has to wait for more.
type session struct {
	server   *Server
	conn     net.Conn
	requests *requestReader
	peer     *server.Peer
	replies  bytes.Buffer // what peer wrote; it never blocks under the keeper's lock
	sink     *bufio.Writer

	authenticated bool
	name          string
	refused       bool        // a MULTI was refused, and its EXEC has not come yet
	subscriber    *subscriber // from the first SUBSCRIBE on, what writes to conn
	sending       sync.WaitGroup
}
