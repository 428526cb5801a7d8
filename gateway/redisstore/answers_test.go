package redisstore

import (
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"davit/internal/faas"
	"davit/internal/testenv"
)

// cutter forwards connections to a Redis. Instead of every so many-th answer it closes the connection: the command ran,
// but its client gets no answer.
type cutter struct {
	listener net.Listener
	target   string
	answers  atomic.Int64
	every    int64
	open     sync.WaitGroup
}

func startCutter(t *testing.T, target string, every int64) *cutter {
	t.Helper()
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	c := &cutter{listener: listener, target: target, every: every}
	c.open.Go(c.accept)
	t.Cleanup(func() {
		must(t, listener.Close())
		c.open.Wait()
	})
	return c
}

func (c *cutter) accept() {
	for {
		client, err := c.listener.Accept()
		if err != nil {
			return
		}
		c.open.Go(func() { c.pass(client) })
	}
}

func (c *cutter) pass(client net.Conn) {
	defer func() { _ = client.Close() }()
	redis, err := net.Dial("tcp", c.target)
	if err != nil {
		return
	}
	c.open.Go(func() {
		_, _ = io.Copy(redis, client)
		_ = redis.Close()
	})
	buffer := make([]byte, 64<<10)
	for {
		n, err := redis.Read(buffer)
		if err != nil || c.answers.Add(1)%c.every == 0 {
			return
		}
		if _, err := client.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// The client sends a command again whose answer is lost. It must not take effect twice, and the second answer must be
// the same.
func TestLostAnswers(t *testing.T) {
	addr := testenv.Redis(t)
	direct := server{url: "redis://" + addr}.store(t)
	cut := startCutter(t, addr, 7)
	s := server{url: "redis://" + cut.listener.Addr().String()}.bare(t)
	const n, writers = 100, 4
	applied := make([][]bool, writers)
	failed := make([]int, writers)
	errs := make([]error, writers)
	all := make([]*faas.Invocation, n)
	for i := range all {
		all[i] = newInvocation(t, "f", "tr", faas.Running)
	}
	saveInvocation(t, direct, all...)
	together(writers, func(w int) {
		applied[w] = make([]bool, n)
		for i := range n {
			mine := ended(all[i], faas.Failed)
			mine.Detail = fmt.Sprint(w)
			_, ok, err := s.Settle(t.Context(), mine)
			applied[w][i] = ok
			if err == nil {
				_, _, err = s.AddRevision(t.Context(), "f", faas.FunctionSpec{}, now())
			}
			switch {
			case err == nil:
			case faas.KindOf(err) == faas.Unavailable:
				failed[w]++
			default:
				errs[w] = err
			}
		}
	})
	unheard := 0
	for w := range writers {
		must(t, errs[w])
		unheard += failed[w]
	}
	for i, inv := range all {
		stands := find(t, direct, inv.ID)
		for w := range writers {
			if applied[w][i] && stands.Detail != fmt.Sprint(w) {
				t.Errorf("%d got the answer that it settled %s, but %s did", w, inv.ID, stands.Detail)
			}
		}
	}
	latest := int(mustGet[*faas.Function](t)(direct.FindFunction(t.Context(), "f")).Latest)
	if most, least := n*writers, n*writers-unheard; latest > most || latest < least {
		t.Errorf("%d revisions of %d calls of which %d got no answer", latest, most, unheard)
	}
	if cut.answers.Load() < 2*cut.every {
		t.Error("no answer was cut")
	}
}
