package redisstore

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"

	"davit/internal/faas"
)

// DefaultPrefix begins every key unless Options name another.
const DefaultPrefix = "davit:"

// A Redis that is slow by seconds must still take the writes of the background; calls
// that have less time say so in their context.
const (
	dialTimeout = 3 * time.Second
	ioTimeout   = 5 * time.Second
	mostRetries = 1
	dialTries   = 2
	poolSize    = 64 // each costs a descriptor and 64 KiB, and only while it is needed
	idleTimeout = 5 * time.Minute
)

// Options says where the Redis is and what a Store needs.
type Options struct {
	URL    string                                // redis://[user:password@]host:port[/db]; rediss:// with TLS; unix://path
	Prefix string                                // of every key; "" means DefaultPrefix
	Slots  func(*faas.Trigger) ([]string, error) // the slots of a trigger, as SaveTrigger is given them; Restore needs it
	Log    *slog.Logger                          // lost and regained subscriptions, and what a Restore left out; nil: nothing is logged
	Now    func() time.Time                      // this machine's clock; nil: time.Now
}

// Store is everything that Davit holds in one Redis. Its methods may be called
// by many goroutines at once.
type Store struct {
	client  *redis.Client
	keys    keys
	slotsOf func(*faas.Trigger) ([]string, error)
	log     *slog.Logger
	now     func() time.Time
	skew    atomic.Int64 // nanoseconds by which the server's clock is ahead
	scripts sync.Map     // source → *redis.Script
	readers readers
}

// Open returns a Store on the Redis at the URL. It makes no connection yet, so
// that a gateway can start while Redis is away; its error never holds the URL.
func Open(_ context.Context, o Options) (*Store, error) {
	opt, err := redis.ParseURL(o.URL)
	if err != nil { // its text may hold the password
		return nil, faas.Errorf(faas.Invalid, "the Redis URL cannot be read; write redis://[user:password@]host:port[/db]")
	}
	s := &Store{keys: keys{prefix: o.Prefix}, slotsOf: o.Slots, log: o.Log, now: o.Now}
	if o.Prefix == "" {
		s.keys.prefix = DefaultPrefix
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	logging.Disable() // the client's own lines on stderr: its errors come back to the callers
	s.client = redis.NewClient(tune(opt))
	return s, nil
}

// tune sets what the URL left open.
func tune(opt *redis.Options) *redis.Options {
	setDefault(&opt.DialTimeout, dialTimeout)
	setDefault(&opt.ReadTimeout, ioTimeout)
	setDefault(&opt.WriteTimeout, ioTimeout)
	setDefault(&opt.MaxRetries, mostRetries)
	setDefault(&opt.PoolSize, poolSize)
	setDefault(&opt.ConnMaxIdleTime, idleTimeout)
	setDefault(&opt.Protocol, 2)
	opt.DialerRetries = dialTries
	opt.ContextTimeoutEnabled = true
	opt.DisableIdentity = true
	opt.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return opt
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Close ends all connections. Run must have returned before.
func (s *Store) Close() error {
	if err := s.client.Close(); err != nil {
		return fmt.Errorf("close Redis: %w", s.redact(err))
	}
	return nil
}

// Ready is nil when Redis answers and takes writes.
func (s *Store) Ready(ctx context.Context) error {
	if err := s.client.Set(ctx, s.keys.ready(), s.now().UnixMilli(), 0).Err(); err != nil {
		return fmt.Errorf("check Redis: %w", s.fault(err))
	}
	return nil
}

// secretBytes is the length of the installation's secret.
const secretBytes = 32

// Secret returns the installation's random bytes, the same for every gateway; whoever comes first makes them.
func (s *Store) Secret(ctx context.Context) ([]byte, error) {
	fresh := make([]byte, secretBytes)
	_, _ = rand.Read(fresh) // never fails
	if err := s.client.SetNX(ctx, s.keys.secret(), hex.EncodeToString(fresh), 0).Err(); err != nil {
		return nil, fmt.Errorf("make the installation's secret: %w", s.fault(err))
	}
	text, err := s.client.Get(ctx, s.keys.secret()).Result()
	if err != nil {
		return nil, fmt.Errorf("read the installation's secret: %w", s.fault(err))
	}
	secret, err := hex.DecodeString(text)
	if err != nil || len(secret) != secretBytes {
		return nil, fmt.Errorf("read the installation's secret: %w", errReply("a value of another form"))
	}
	return secret, nil
}

// script returns the compiled form of a source, the same each time.
func (s *Store) script(source string) *redis.Script {
	if found, ok := s.scripts.Load(source); ok {
		return found.(*redis.Script)
	}
	made, _ := s.scripts.LoadOrStore(source, redis.NewScript(source))
	return made.(*redis.Script)
}

// eval runs a script.
func (s *Store) eval(ctx context.Context, source string, keys []string, args ...any) *redis.Cmd {
	return s.script(source).Run(ctx, s.client, keys, args...)
}

// call is one run of a script among many.
type call struct {
	keys []string
	args []any
}

// evalAll runs a script once for each call, pipelined and in order, and returns the answers.
func (s *Store) evalAll(ctx context.Context, source string, calls []call) ([]*redis.Cmd, error) {
	script := s.script(source)
	if err := script.Load(ctx, s.client).Err(); err != nil {
		return nil, err
	}
	pipe := s.client.Pipeline()
	cmds := make([]*redis.Cmd, len(calls))
	for i, c := range calls {
		cmds[i] = script.EvalSha(ctx, pipe, c.keys, c.args...)
	}
	_, _ = pipe.Exec(ctx) // each command holds its own error
	for i, c := range calls {
		err := cmds[i].Err()
		if errors.Is(err, redis.ErrNoScript) || redis.HasErrorPrefix(err, "NOSCRIPT") {
			cmds[i] = script.Run(ctx, s.client, c.keys, c.args...)
			err = cmds[i].Err()
		}
		if err != nil {
			return nil, err
		}
	}
	return cmds, nil
}
