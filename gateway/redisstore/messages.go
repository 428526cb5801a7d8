package redisstore

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"davit/internal/backoff"
	"davit/internal/faas"
)

// Messages is the channel on which gateways send each other messages.
type Messages struct {
	*conn

	subscribers subscribers
}

// MessageKind is the kind of a message.
type MessageKind string

// The kinds of messages. On the wire a message is a line of its kind and words. One Redis message may hold several
// lines. Unknown kinds are ignored.
const (
	KindRegistry   MessageKind = "registry"   // registrations changed: Version
	KindApplied    MessageKind = "applied"    // Gateway now serves Version
	KindPeers      MessageKind = "peers"      // Gateway joined, changed its address or left; a gateway that dies sends nothing
	KindInvocation MessageKind = "invocation" // Invocation of Function and Trigger is now in State
	KindCancel     MessageKind = "cancel"     // Invocation is to be cancelled
	KindPermit     MessageKind = "place"      // a permit of Function was released, or Function has fewer kept runners
	KindDemand     MessageKind = "demand"     // the demand of Gateway, which does not lead, has changed
	KindLead       MessageKind = "lead"       // no gateway leads
	KindExit       MessageKind = "exit"       // a runner ended; Text is the line given to PublishExit
	KindResync     MessageKind = "resync"     // messages may be lost: read everything again
)

// Message is what one gateway sends to all gateways, including itself. A message is a hint: the change that it
// announces is in Redis already.
type Message struct {
	Kind       MessageKind
	Version    int64
	Gateway    faas.GatewayID
	Invocation faas.InvocationID
	State      faas.State
	Function   faas.FunctionName
	Trigger    faas.TriggerName
	Text       string
}

// parseMessage parses one line. ok is false if the line is not a known message.
func parseMessage(line string) (m Message, ok bool) {
	words := strings.Split(line, " ")
	kind, words := MessageKind(words[0]), words[1:]
	word := func(i int) string {
		if i < len(words) {
			return words[i]
		}
		return ""
	}
	m.Kind = kind
	var err error
	switch kind {
	case KindRegistry:
		m.Version, err = strconv.ParseInt(word(0), 10, 64)
	case KindApplied:
		m.Version, err = strconv.ParseInt(word(0), 10, 64)
		m.Gateway = faas.GatewayID(word(1))
	case KindPeers, KindDemand:
		m.Gateway = faas.GatewayID(word(0))
	case KindInvocation:
		m.Invocation, m.State = faas.InvocationID(word(0)), faas.State(word(1))
		m.Function, m.Trigger = faas.FunctionName(word(2)), faas.TriggerName(word(3))
	case KindCancel:
		m.Invocation = faas.InvocationID(word(0))
	case KindPermit:
		m.Function = faas.FunctionName(word(0))
	case KindLead:
	case KindExit:
		m.Text = strings.Join(words, " ")
	case KindResync: // which is never sent
		return Message{}, false
	default:
		return Message{}, false
	}
	return m, err == nil
}

// mailbox is how many unread messages a subscriber may have before it loses messages.
const mailbox = 1024

// subscribers are the readers of messages.
type subscribers struct {
	mu  sync.Mutex
	all map[*subscriber]bool
}

type subscriber struct {
	messages chan Message
	missed   bool // a message was lost because the mailbox was full
}

// Subscribe returns the messages that are sent after the call, in order. cancel ends the subscription and closes the
// channel. A subscriber with 1024 unread messages loses further messages and gets a KindResync instead. Messages arrive
// only while Run runs.
func (s *Messages) Subscribe() (messages <-chan Message, cancel func()) {
	r := &subscriber{messages: make(chan Message, mailbox)}
	s.subscribers.mu.Lock()
	defer s.subscribers.mu.Unlock()
	if s.subscribers.all == nil {
		s.subscribers.all = map[*subscriber]bool{}
	}
	s.subscribers.all[r] = true
	return r.messages, sync.OnceFunc(func() {
		s.subscribers.mu.Lock()
		defer s.subscribers.mu.Unlock()
		delete(s.subscribers.all, r)
		close(r.messages)
	})
}

// send sends messages to every subscriber without waiting for any.
func (rs *subscribers) send(messages ...Message) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for r := range rs.all {
		r.resync()
		for _, m := range messages {
			r.send(m)
		}
	}
}

// resync sends a KindResync if the subscriber has lost messages.
func (r *subscriber) resync() {
	if r.missed {
		r.missed = false
		r.send(Message{Kind: KindResync})
	}
}

func (r *subscriber) send(m Message) {
	if r.missed {
		return
	}
	select {
	case r.messages <- m:
	default:
		r.missed = true
	}
}

const (
	pingEvery   = 2 * time.Second  // without a message; the connection counts as dead if no answer comes in the same time
	resyncEvery = 30 * time.Second // even if no message was lost
	firstPause  = 50 * time.Millisecond
	longPause   = 2 * time.Second
)

// Run keeps this process subscribed until ctx ends, and then returns nil. Subscribers get a KindResync each time that
// the subscription was lost, and every 30 s.
func (s *Messages) Run(ctx context.Context) error {
	pause := backoff.Backoff{Min: firstPause, Max: longPause}
	for {
		subscribed, err := s.listen(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the end of ctx broke the subscription
		}
		if subscribed {
			pause.Reset()
			s.log.Warn("lost the subscription to Redis", "error", s.redact(err))
		}
		if pause.Wait(ctx) != nil {
			return nil
		}
	}
}

var errNoPong = errors.New("no answer to a ping")

// listen subscribes and sends messages to the subscribers until the connection breaks. subscribed reports whether the
// subscription succeeded.
func (s *Messages) listen(ctx context.Context) (subscribed bool, err error) {
	sub := s.client.Subscribe(ctx)
	stop := context.AfterFunc(ctx, func() { _ = sub.Close() })
	defer func() {
		if stop() {
			_ = sub.Close()
		}
	}()
	if err := sub.Subscribe(ctx, s.keys.messages()); err != nil {
		return false, err
	}
	resynced, pinged := s.now(), false
	for {
		got, err := sub.ReceiveTimeout(ctx, pingEvery)
		switch {
		case err == nil:
			pinged = false
		case !timedOut(err):
			return subscribed, err
		case pinged:
			return subscribed, errNoPong
		default:
			pinged = true
			if err := sub.Ping(ctx); err != nil {
				return subscribed, err
			}
		}
		_, joined := got.(*redis.Subscription)
		if joined || s.now().Sub(resynced) >= resyncEvery {
			resynced, subscribed = s.now(), true
			s.resync(ctx)
		}
		s.distribute(got)
	}
}

func timedOut(err error) bool {
	n, ok := errors.AsType[net.Error](err)
	return ok && n.Timeout()
}

// resync sends KindResync to the subscribers and measures the difference of the clocks again.
func (s *Messages) resync(ctx context.Context) {
	if err := s.setClock(ctx); err != nil {
		s.log.Warn("comparing clocks with Redis failed", "error", err)
	}
	s.subscribers.send(Message{Kind: KindResync})
}

// distribute sends the lines of a Redis message to the subscribers.
func (s *Messages) distribute(got any) {
	var messages []Message
	if m, ok := got.(*redis.Message); ok {
		for line := range strings.SplitSeq(m.Payload, "\n") {
			if m, ok := parseMessage(line); ok {
				messages = append(messages, m)
			}
		}
	}
	s.subscribers.send(messages...)
}
