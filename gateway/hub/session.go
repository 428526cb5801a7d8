package hub

import (
	"bufio"
	"fmt"

	"davit/internal/task"
)

// serveControl serves a control connection, from the runner's hello to Observer.Left.
func (h *Hub) serveControl(r *runner, c, before *control, hello *task.Hello) {
	defer h.roster.release(r, c)
	defer close(c.done)
	defer c.cut()
	if before != nil {
		before.cut()
		<-before.done
	}
	h.roster.arrive(r, c, hello)
	h.observe.Joined(*hello)
	h.log.Info("runner joined", "runner", hello.Runner, "revision", hello.Ref().String(), "start", hello.Start, "held", len(hello.Owned))
	h.sendFirstPeers(c)

	err := h.follow(r, c)

	held := h.roster.depart(r)
	if h.life.Err() != nil {
		return
	}
	h.log.Info("runner left", "runner", hello.Runner, "held", len(held), "error", err)
	h.observe.Left(r.hello, held)
}

// follow reads the runner's events until the connection ends.
func (h *Hub) follow(r *runner, c *control) error {
	resp, err := c.events(h.life)
	if err != nil {
		return fmt.Errorf("ask for events: %w", err)
	}
	defer resp.Body.Close()
	lines := bufio.NewReader(resp.Body)
	for {
		line, err := readLine(lines, maxEvent)
		if err != nil {
			return fmt.Errorf("read events: %w", err)
		}
		e, err := parseEvent(line, r.hello.Ref())
		if err != nil {
			return fmt.Errorf("read events: %w", err)
		}
		h.roster.apply(r, e)
		h.observe.Happened(r.hello.Runner, *e)
	}
}
