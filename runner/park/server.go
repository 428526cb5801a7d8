package park

import (
	"net"
	"net/http"
	"time"

	"davit/internal/faas"
)

const writeWithin = 10 * time.Second

// oneListener returns one connection, and ends when the connection is closed.
type oneListener struct {
	conn   chan net.Conn
	closed chan struct{}
}

// Accept returns the connection, then waits for its end.
func (o *oneListener) Accept() (net.Conn, error) {
	select {
	case c := <-o.conn:
		return c, nil
	case <-o.closed:
		return nil, net.ErrClosed
	}
}

// Close does nothing: the listener ends with its connection.
func (o *oneListener) Close() error { return nil }

// Addr returns an address of no meaning.
func (o *oneListener) Addr() net.Addr { return &net.TCPAddr{} }

// of returns a handler that finds the request's call and passes it to serve.
func (l *connections) of(serve func(http.ResponseWriter, *http.Request, Call)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, err := faas.ParseInvocationID(r.PathValue("id"))
		if err != nil {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		call, held := l.worker.Find(id)
		if !held {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		serve(w, r, call)
	}
}

const maxRefusal = 1 << 10

// maxRequestHead bounds a request's head, in bytes. The protocol's requests are smaller.
const maxRequestHead = 16 << 10

// connKey is the key of a slot's connection in its requests' contexts.
type connKey struct{}

// parkedListener passes parked connections to a server.
type parkedListener struct{ conns *connections }

// Accept waits for the next connection.
func (p *parkedListener) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns.queue:
		return c, nil
	case <-p.conns.life.Done():
		return nil, net.ErrClosed
	}
}

// Close does nothing: the listener ends with the life of the connections.
func (p *parkedListener) Close() error { return nil }

// Addr returns an address of no meaning.
func (p *parkedListener) Addr() net.Addr { return &net.TCPAddr{} }
