package redisstore

import (
	"context"
	"reflect"
	"testing"
	"time"

	"davit/internal/faas"
	"davit/internal/testenv"
)

func TestParseMessage(t *testing.T) {
	cases := []struct {
		line string
		want Message
		ok   bool
	}{
		{"registry 12", Message{Kind: KindRegistry, Version: 12}, true},
		{"applied 12 g-1", Message{Kind: KindApplied, Version: 12, Gateway: "g-1"}, true},
		{"peers g-1", Message{Kind: KindPeers, Gateway: "g-1"}, true},
		{"invocation i queued f t", Message{Kind: KindInvocation, Invocation: "i", State: faas.Queued, Function: "f", Trigger: "t"}, true},
		{"invocation i queued f t more of a later release", Message{Kind: KindInvocation, Invocation: "i", State: faas.Queued, Function: "f", Trigger: "t"}, true},
		{"cancel i", Message{Kind: KindCancel, Invocation: "i"}, true},
		{"place f", Message{Kind: KindPermit, Function: "f"}, true},
		{"registry x", Message{}, false},
		{"registry", Message{}, false},
		{"resync", Message{}, false},
		{"of a later release", Message{}, false},
		{"", Message{}, false},
	}
	for _, c := range cases {
		got, ok := parseMessage(c.line)
		if ok != c.ok || ok && !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q: got %+v, %v", c.line, got, ok)
		}
	}
}

func TestMessagesReachEveryGateway(t *testing.T) {
	each(t, func(t *testing.T, srv server) {
		var all []<-chan Message
		for range 3 {
			s := srv.store(t)
			s.running(t)
			messages, cancel := s.Subscribe()
			defer cancel()
			all = append(all, messages)
		}
		s := srv.store(t)
		addRevision(t, s, "f")
		version := mustGet[*faas.Snapshot](t)(s.Snapshot(t.Context())).Version
		inv := newInvocation(t, "f", "tr", faas.Queued)
		must(t, s.SaveInvocations(t.Context(), []*faas.Invocation{inv}))
		must(t, s.PublishCancel(t.Context(), inv.ID))
		for _, messages := range all {
			if m := await(t, messages, KindRegistry); m.Version != version {
				t.Errorf("registry: %+v, want version %d", m, version)
			}
			want := Message{Kind: KindInvocation, Invocation: inv.ID, State: faas.Queued, Function: "f", Trigger: "tr"}
			if m := await(t, messages, KindInvocation); m != want {
				t.Errorf("invocation: %+v", m)
			}
			if m := await(t, messages, KindCancel); m.Invocation != inv.ID {
				t.Errorf("cancel: %+v", m)
			}
		}
	})
}

func TestASlowSubscriberGetsAResync(t *testing.T) {
	var none subscribers
	s := &Messages{}
	slow, cancel := s.Subscribe()
	defer cancel()
	for range mailbox + 10 {
		s.subscribers.send(Message{Kind: KindCancel})
	}
	for range mailbox {
		if m := <-slow; m.Kind != KindCancel {
			t.Fatalf("got %+v", m)
		}
	}
	s.subscribers.send() // as after each answer to a ping
	if m := <-slow; m.Kind != KindResync {
		t.Errorf("got %+v", m)
	}
	s.subscribers.send(Message{Kind: KindCancel})
	if m := <-slow; m.Kind != KindCancel {
		t.Errorf("got %+v", m)
	}
	none.send(Message{Kind: KindCancel})
}

func TestASubscriptionThatIsCancelledIsClosed(t *testing.T) {
	s := &Messages{}
	messages, cancel := s.Subscribe()
	cancel()
	cancel()
	if _, ok := <-messages; ok {
		t.Error("a message came")
	}
	s.subscribers.send(Message{Kind: KindCancel})
}

func TestTheSubscriptionComesBack(t *testing.T) {
	redis := testenv.StartRedis(t)
	srv := server{url: "redis://" + redis.Addr}
	s := srv.store(t)
	s.running(t)
	messages, cancel := s.Subscribe()
	defer cancel()
	for _, interrupt := range []func(){redis.Kill, redis.Stop} {
		interrupt()
		redis.Start()
		await(t, messages, KindResync)
		must(t, s.PublishCancel(t.Context(), "i"))
		await(t, messages, KindCancel)
	}
}

func TestAServerThatHangsIsNoticedByTheSubscription(t *testing.T) {
	redis := testenv.StartRedis(t)
	s := server{url: "redis://" + redis.Addr}.bare(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	messages, unsubscribe := s.Subscribe()
	defer unsubscribe()
	go func() {
		_, err := s.listen(ctx)
		ended <- err
	}()
	await(t, messages, KindResync)
	redis.Pause()
	defer redis.Resume()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("Run ended without an error")
		}
	case <-time.After(20 * time.Second):
		t.Error("a connection that hangs is not noticed")
	}
}
