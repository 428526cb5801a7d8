package embedded

import (
	"net"
	"strconv"
	"sync"
)

// mostPending is what may wait for one subscriber; one that reads no faster than that is disconnected,
// as Redis does, so that it holds up nobody.
const mostPending = 8 << 20

// channels knows who is subscribed to what.
type channels struct {
	mu          sync.Mutex
	subscribers map[string]map[*subscriber]struct{}
}

func newChannels() *channels { return &channels{subscribers: map[string]map[*subscriber]struct{}{}} }

// publish hands message to every subscriber of channel, and returns their number. It never waits.
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

// leave ends all of s' subscriptions without a word.
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

// subscriber sends to one connection all that it gets: messages, and replies, in the order in which they
// came.
type subscriber struct {
	conn  net.Conn
	resp3 bool
	names map[string]struct{} // changed and read by its own session only

	mu      sync.Mutex
	pending []byte
	ended   bool
	wake    chan struct{}
}

func newSubscriber(conn net.Conn, resp3 bool) *subscriber {
	return &subscriber{conn: conn, resp3: resp3, names: map[string]struct{}{}, wake: make(chan struct{}, 1)}
}

func (s *subscriber) push(b []byte) {
	s.mu.Lock()
	s.pending = append(s.pending, b...)
	if len(s.pending) > mostPending {
		s.pending, s.ended = nil, true
		_ = s.conn.Close() // its session ends by that
	}
	s.mu.Unlock()
	s.signal()
}

// end lets run write what is pending and return.
func (s *subscriber) end() {
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	s.signal()
}

func (s *subscriber) signal() {
	select {
	case s.wake <- struct{}{}:
	default: // it is awake
	}
}

// run writes until the end, or until the connection fails.
func (s *subscriber) run() {
	for range s.wake {
		s.mu.Lock()
		b, ended := s.pending, s.ended
		s.pending = nil
		s.mu.Unlock()
		if _, err := s.conn.Write(b); err != nil {
			_ = s.conn.Close() // its session ends by that, and calls end
			return
		}
		if ended {
			return
		}
	}
}

// appendPush appends a message to a subscriber.
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

// appendCount is the answer to SUBSCRIBE and UNSUBSCRIBE for one channel.
func appendCount(resp3 bool, kind, channel string, count int) []byte {
	b := appendPushHead(nil, resp3, 3)
	b = appendBulk(b, kind)
	b = appendBulk(b, channel)
	return appendInteger(b, int64(count))
}
