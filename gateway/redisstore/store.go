package redisstore

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"

	"davit/internal/faas"
)

// DefaultPrefix is the beginning of every key unless Options have another.
const DefaultPrefix = "davit:"

// Writes in the background must succeed even if Redis is slow by seconds. Callers with less time set a deadline in
// their context.
const (
	dialTimeout = 3 * time.Second
	ioTimeout   = 5 * time.Second
	mostRetries = 1
	dialTries   = 2
	poolSize    = 64 // a connection costs a descriptor and 64 KiB, and is opened when it is needed
	idleTimeout = 5 * time.Minute
)

// Options are the settings of a Store.
type Options struct {
	URL       string                                // redis://[user:password@]host:port[/db]; rediss:// with TLS; unix://path
	Prefix    string                                // of every key; "" means DefaultPrefix
	Endpoints func(*faas.Trigger) ([]string, error) // the endpoints of a trigger, as SaveTrigger is given them; Restore needs it
	Log       *slog.Logger                          // lost and regained subscriptions, and what a Restore left out; nil: nothing is logged
	Now       func() time.Time                      // this machine's clock; nil: time.Now
}

// Store stores the data of one installation in one Redis. Its methods may be called concurrently.
type Store struct {
	*conn
	Registry
	Invocations
	Permits
	Fleet
	Gateways
	Sessions
	*Messages
}

// Open returns a Store on the Redis at the URL. It connects when the Store is first used, so that a gateway can start
// while Redis is unavailable. The error does not contain the URL, because the URL may contain a password.
func Open(_ context.Context, o Options) (*Store, error) {
	opt, err := redis.ParseURL(o.URL)
	if err != nil { // the text of err may hold the password
		return nil, faas.Errorf(faas.Invalid, "the Redis URL cannot be read; write redis://[user:password@]host:port[/db]")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	logging.Disable() // because the client's lines on stderr repeat the errors that it returns
	c := &conn{client: redis.NewClient(tune(opt)), keys: keys{prefix: cmp.Or(o.Prefix, DefaultPrefix)}, log: o.Log, now: o.Now}
	messages := &Messages{conn: c}
	return &Store{
		conn: c, Registry: Registry{conn: c, endpointsOf: o.Endpoints}, Invocations: Invocations{c}, Permits: Permits{c}, Fleet: Fleet{conn: c, permits: Permits{c}},
		Gateways: Gateways{conn: c, messages: messages}, Sessions: Sessions{c}, Messages: messages,
	}, nil
}

// Connections returns the number of open connections in the pool, idle ones among them.
func (s *Store) Connections() int { return int(s.client.PoolStats().TotalConns) }

// tune sets the options that the URL does not set.
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
