package setup

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
)

// A group names the service that secrets are for. An operator with a Redis or a store of their own makes the secrets of
// that group under the same names.
type group string

const (
	groupAdmin  group = "admin"  // the console's first token
	groupRedis  group = "redis"  // its password
	groupStore  group = "store"  // the administrator's key, the gateway's, and the one that signs downloads
	groupDocker group = "docker" // certificates of the Docker daemon and its only client
)

func allGroups() []string {
	return []string{string(groupAdmin), string(groupRedis), string(groupStore), string(groupDocker)}
}

func parseGroups(list string) ([]group, error) {
	var groups []group
	for name := range strings.SplitSeq(list, ",") {
		if !slices.Contains(allGroups(), name) {
			return nil, fmt.Errorf("-groups: %q is none of %s", name, strings.Join(allGroups(), ", "))
		}
		groups = append(groups, group(name))
	}
	return groups, nil
}

// api is the part of the Kubernetes API that a maker needs.
type api interface {
	// create makes a Secret unless there is one of that name, which it does not change. existed reports that.
	create(ctx context.Context, s *secret) (existed bool, err error)
	read(ctx context.Context, namespace, name string) (*secret, error)
}

// maker makes the secrets of an installation. It never changes an existing one, because services use it already.
type maker struct {
	api                api
	log                *slog.Logger
	now                func() time.Time
	namespace, builder string
}

// run makes the secrets of the groups.
func (m *maker) run(ctx context.Context, groups []group) error {
	for _, g := range groups {
		var err error
		switch g {
		case groupAdmin:
			err = m.put(ctx, m.namespace, "davit-admin", g, map[string][]byte{"token": random(32)})
		case groupRedis:
			err = m.put(ctx, m.namespace, "davit-redis", g, m.redis())
		case groupStore:
			err = m.store(ctx)
		case groupDocker:
			err = m.docker(ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// redis returns the password in the forms that its client, the server and the gateway read.
func (m *maker) redis() map[string][]byte {
	password := random(24)
	return map[string][]byte{
		"password":   password,
		"redis.conf": fmt.Appendf(nil, "requirepass %s\n", password),
		"url":        fmt.Appendf(nil, "redis://:%s@davit-redis.%s.svc:6379/0", password, m.namespace),
	}
}

func (m *maker) store(ctx context.Context) error {
	for _, name := range []string{"davit-store-root", "davit-store", "davit-store-download"} {
		// MinIO accepts at most 20 and 40 characters.
		pair := map[string][]byte{"access-key": random(10), "secret-key": random(20)}
		if err := m.put(ctx, m.namespace, name, groupStore, pair); err != nil {
			return err
		}
	}
	return nil
}

// docker makes an authority, and with it the certificates of the daemon and of its only client, the gateway. The
// authority is a secret, too, so that a run that was interrupted can be continued.
func (m *maker) docker(ctx context.Context) error {
	ca, err := m.authority(ctx)
	if err != nil {
		return err
	}
	host := "davit-dockerd." + m.builder + ".svc"
	server, err := ca.issue(m.now(), "davit-dockerd", host, host+".cluster.local", "davit-dockerd", "localhost")
	if err != nil {
		return err
	}
	client, err := ca.issue(m.now(), "davit-gateway")
	if err != nil {
		return err
	}
	if err := m.put(ctx, m.builder, "davit-dockerd", groupDocker, server); err != nil {
		return err
	}
	return m.put(ctx, m.namespace, "davit-docker-client", groupDocker, client)
}

// authority returns the existing authority, or makes one.
func (m *maker) authority(ctx context.Context) (*authority, error) {
	const name = "davit-docker-ca"
	ca, err := newAuthority(m.now())
	if err != nil {
		return nil, err
	}
	files, err := ca.files()
	if err != nil {
		return nil, err
	}
	existed, err := m.create(ctx, m.namespace, name, groupDocker, files)
	if err != nil || !existed {
		return ca, err
	}
	s, err := m.api.read(ctx, m.namespace, name)
	if err != nil {
		return nil, err
	}
	if ca, err = parseAuthority(s.Data); err != nil {
		return nil, fmt.Errorf("use the secret %s/%s: %w", m.namespace, name, err)
	}
	return ca, nil
}

func (m *maker) put(ctx context.Context, namespace, name string, g group, data map[string][]byte) error {
	_, err := m.create(ctx, namespace, name, g, data)
	return err
}

func (m *maker) create(ctx context.Context, namespace, name string, g group, data map[string][]byte) (existed bool, err error) {
	s := newSecret(namespace, name, g, data)
	err = persist(ctx, m.log, "the API server", func(ctx context.Context) (final bool, err error) {
		existed, err = m.api.create(ctx, s)
		return isFinal(err), err
	})
	if err != nil {
		return false, fmt.Errorf("make the secret %s/%s: %w", namespace, name, err)
	}
	m.log.Info("secret", "namespace", namespace, "name", name, "made", !existed)
	return existed, nil
}

// random returns n random bytes as hexadecimal digits.
func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return hex.AppendEncode(nil, b)
}

func newSecret(namespace, name string, g group, data map[string][]byte) *secret {
	return &secret{
		APIVersion: "v1", Kind: "Secret", Type: "Opaque", Data: data,
		Metadata: metadata{Namespace: namespace, Name: name, Labels: map[string]string{
			"app.kubernetes.io/part-of": "davit", "app.kubernetes.io/managed-by": "davit-setup", "app.kubernetes.io/component": string(g),
		}},
	}
}
