package setup

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strings"
)

// runAwait returns when Redis accepts connections and the gateway's key can see the bucket, which is what a gateway
// needs to start.
func runAwait(ctx context.Context, flags *flag.FlagSet, args []string, log *slog.Logger) error {
	redis := flags.String("redis", "/etc/davit/redis/url", "file with the URL of Redis")
	endpoint := flags.String("endpoint", "http://davit-store:9000", "URL of the store")
	region := flags.String("region", "us-east-1", "its region")
	bucket := flags.String("bucket", "davit", "its bucket")
	dir := flags.String("key", "/etc/davit/store", "folder with access-key and secret-key of the gateway")
	if err := parse(flags, args); err != nil {
		return err
	}
	address, err := redisAddress(*redis)
	if err != nil {
		return err
	}
	gateway, err := readKey(*dir)
	if err != nil {
		return err
	}
	s := store{endpoint: withScheme(*endpoint), region: *region, bucket: *bucket, gateway: gateway, log: log}
	err = persist(ctx, log, "Redis at "+address, func(ctx context.Context) (final bool, err error) {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil {
			return false, err
		}
		return false, conn.Close()
	})
	if err != nil {
		return err
	}
	return persist(ctx, log, "the store at "+s.endpoint, func(ctx context.Context) (final bool, err error) {
		return false, s.try(ctx)
	})
}

// redisAddress returns host:port of the URL in a file. No error may contain the URL, because it contains the password.
func redisAddress(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read the URL of Redis: %w", err)
	}
	u, err := url.Parse(strings.TrimSpace(string(text)))
	if err != nil || u.Hostname() == "" {
		return "", errors.New("the URL of Redis is not redis://[:password@]host[:port]")
	}
	port := u.Port()
	if port == "" {
		port = "6379"
	}
	return net.JoinHostPort(u.Hostname(), port), nil
}

func withScheme(endpoint string) string {
	if strings.Contains(endpoint, "://") {
		return endpoint
	}
	return "http://" + endpoint
}
