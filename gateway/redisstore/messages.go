package redisstore

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"davit/internal/faas"
)

// Messages is the channel on which gateways send each other messages.
type Messages struct {
	*conn

	readers readers
}

// MessageKind is what a message tells.
type MessageKind string

// The kinds of messages. On the wire a message is its kind and words behind it;
// several may come in one, a line each. Kinds that are not known are passed over.
const (
	KindRegistry   MessageKind = "registry"   // registrations changed: Version
	KindApplied    MessageKind = "applied"    // Gateway serves Version now
	KindPeers      MessageKind = "peers"      // Gateway joined, moved or left; one that dies says nothing
	KindInvocation MessageKind = "invocation" // Invocation of Function and Trigger is in State now
	KindCancel     MessageKind = "cancel"     // Invocation is to be cancelled
	KindPlace      MessageKind = "place"      // a place among Function's running jobs was given back
	KindDemand     MessageKind = "demand"     // Gateway, which does not lead, wants other runners now
	KindLead       MessageKind = "lead"       // nobody leads
	KindExit       MessageKind = "exit"       // a runner ended: Text, as it was given to PublishExit
	KindResync     MessageKind = "resync"     // messages may have been missed: look at everything
)

// Message is what one gateway tells all, itself included. Messages are hints:
// what they tell of is in Redis already.
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

// parseMessage reads one line. ok is false for a line that says nothing that is known here.
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
	case KindPlace:
		m.Function = faas.FunctionName(word(0))
	case KindLead:
	case KindExit:
		m.Text = strings.Join(words, " ")
	case KindResync: // never sent
		return Message{}, false
	default:
		return Message{}, false
	}
	return m, err == nil
}

// mailbox is how many messages a reader may be behind before it misses some.
const mailbox = 1024

// readers are those who subscribed.
type readers struct {
	mu  sync.Mutex
	all map[*reader]bool
}

type reader struct {
	messages chan Message
	missed   bool // its mailbox was full; it has to be told
}

// Subscribe returns the messages from now on, and what ends that and closes the
// channel. A reader that falls far behind loses messages and gets a KindResync
// in their place. Nothing comes unless Run runs.
func (s *Messages) Subscribe() (messages <-chan Message, cancel func()) {
	r := &reader{messages: make(chan Message, mailbox)}
	s.readers.mu.Lock()
	defer s.readers.mu.Unlock()
	if s.readers.all == nil {
		s.readers.all = map[*reader]bool{}
	}
	s.readers.all[r] = true
	return r.messages, sync.OnceFunc(func() {
		s.readers.mu.Lock()
		defer s.readers.mu.Unlock()
		delete(s.readers.all, r)
		close(r.messages)
	})
}

// tell gives messages to every reader without waiting for any.
func (rs *readers) tell(messages ...Message) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for r := range rs.all {
		r.catchUp()
		for _, m := range messages {
			r.tell(m)
		}
	}
}

func (r *reader) catchUp() {
	if r.missed {
		r.missed = false
		r.tell(Message{Kind: KindResync})
	}
}

func (r *reader) tell(m Message) {
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
	pingEvery   = 2 * time.Second  // of silence; twice that without an answer, and the connection is dead
	resyncEvery = 30 * time.Second // whatever happens
	firstPause  = 50 * time.Millisecond
	longPause   = 2 * time.Second
)

// Run keeps the one subscription of this process up until ctx ends, and returns
// nil then. After each time that it was lost, readers get a KindResync, and each
// 30 s anyway.
func (s *Messages) Run(ctx context.Context) error {
	pause := firstPause
	for {
		heard, err := s.listen(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // it ended because it was told to
		}
		if heard {
			pause = firstPause
			s.log.WarnContext(ctx, "lost the subscription to Redis", slog.Any("error", s.redact(err)))
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
		pause = min(2*pause, longPause)
	}
}

var errSilent = errors.New("no answer to a ping")

// listen subscribes and spreads what comes until the connection breaks. heard tells that it had come up.
func (s *Messages) listen(ctx context.Context) (heard bool, err error) {
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
	resynced, silent := s.now(), false
	for {
		got, err := sub.ReceiveTimeout(ctx, pingEvery)
		switch {
		case err == nil:
			silent = false
		case !timedOut(err):
			return heard, err
		case silent:
			return heard, errSilent
		default:
			silent = true
			if err := sub.Ping(ctx); err != nil {
				return heard, err
			}
		}
		_, joined := got.(*redis.Subscription)
		if joined || s.now().Sub(resynced) >= resyncEvery {
			resynced, heard = s.now(), true
			s.resync(ctx)
		}
		s.spread(got)
	}
}

func timedOut(err error) bool {
	n, ok := errors.AsType[net.Error](err)
	return ok && n.Timeout()
}

// resync tells readers to look at everything, and measures the clock again.
func (s *Messages) resync(ctx context.Context) {
	if err := s.setClock(ctx); err != nil {
		s.log.WarnContext(ctx, "cannot compare clocks with Redis", slog.Any("error", err))
	}
	s.readers.tell(Message{Kind: KindResync})
}

// spread gives what a message holds to the readers.
func (s *Messages) spread(got any) {
	var messages []Message
	if m, ok := got.(*redis.Message); ok {
		for line := range strings.SplitSeq(m.Payload, "\n") {
			if m, ok := parseMessage(line); ok {
				messages = append(messages, m)
			}
		}
	}
	s.readers.tell(messages...)
}
