package embedded

import (
	"net"
	"strconv"
	"sync"

	"davit/internal/signal"
)

// maxPending is how many bytes may be queued for one subscriber. The server disconnects a subscriber with a longer
// queue, as Redis does, so that a slow subscriber delays no other client.
const maxPending = 8 << 20

// channels is the table of the subscribers of each channel.
type channels struct {
	mu          sync.Mutex
	subscribers map[string]map[*subscriber]struct{}
}

func newChannels() *channels { return &channels{subscribers: map[string]map[*subscriber]struct{}{}} }

// publish queues message for every subscriber of channel and returns their number. It never blocks.
func (c *channels) publish(channel, message string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	for s := range c.subscribers[channel] {
		s.push(appendPush(nil, s.resp3, "message", channel, message))
	}
	return len(c.subscribers[channel])
}

func (c *channels) add(s *subscriber, channel string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.subscribers[channel] == nil {
		c.subscribers[channel] = map[*subscriber]struct{}{}
	}
	c.subscribers[channel][s] = struct{}{}
	s.names[channel] = struct{}{}
	s.push(appendCount(s.resp3, "subscribe", channel, len(s.names)))
}

func (c *channels) remove(s *subscriber, channel string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(s, channel)
	s.push(appendCount(s.resp3, "unsubscribe", channel, len(s.names)))
}

// leave ends all subscriptions of s and sends s nothing.
func (c *channels) leave(s *subscriber) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for channel := range s.names {
		c.drop(s, channel)
	}
}

func (c *channels) drop(s *subscriber, channel string) {
	delete(s.names, channel)
	delete(c.subscribers[channel], s)
	if len(c.subscribers[channel]) == 0 {
		delete(c.subscribers, channel)
	}
}

// subscriber writes the messages and replies of one connection, in the order in which they were pushed.
type subscriber struct {
	conn  net.Conn
	resp3 bool
	names map[string]struct{} // only the subscriber's own session reads or changes it

	mu      sync.Mutex
	pending []byte
	ended   bool
	wake    signal.Wake
}

func newSubscriber(conn net.Conn, resp3 bool) *subscriber {
	return &subscriber{conn: conn, resp3: resp3, names: map[string]struct{}{}, wake: signal.NewWake()}
}

func (s *subscriber) push(b []byte) {
	s.mu.Lock()
	s.pending = append(s.pending, b...)
	if len(s.pending) > maxPending {
		s.pending, s.ended = nil, true
		_ = s.conn.Close() // the session ends because its connection is closed
	}
	s.mu.Unlock()
	s.wake.Set()
}

// end lets run write what is pending and return.
func (s *subscriber) end() {
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	s.wake.Set()
}

// run writes until end is called or the connection fails.
func (s *subscriber) run() {
	for range s.wake.C() {
		s.mu.Lock()
		b, ended := s.pending, s.ended
		s.pending = nil
		s.mu.Unlock()
		if _, err := s.conn.Write(b); err != nil {
			_ = s.conn.Close() // the session ends because its connection is closed, and calls end
			return
		}
		if ended {
			return
		}
	}
}

// appendPush appends a message for a subscriber to b.
func appendPush(b []byte, resp3 bool, items ...string) []byte {
	b = appendPushHead(b, resp3, len(items))
	for _, item := range items {
		b = appendBulk(b, item)
	}
	return b
}

func appendPushHead(b []byte, resp3 bool, n int) []byte {
	kind := byte('*')
	if resp3 {
		kind = '>'
	}
	b = strconv.AppendInt(append(b, kind), int64(n), 10)
	return append(b, '\r', '\n')
}

// appendCount returns the reply to SUBSCRIBE or UNSUBSCRIBE for one channel.
func appendCount(resp3 bool, kind, channel string, count int) []byte {
	b := appendPushHead(nil, resp3, 3)
	b = appendBulk(b, kind)
	b = appendBulk(b, channel)
	return appendInteger(b, int64(count))
}
