package docker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/moby/moby/client"

	"davit/internal/faas"
)

// registryClient lists and deletes images in the registry directly, because the daemon cannot. If the registry refuses
// that, or cannot be reached from the gateway, the images stay.
type registryClient struct {
	registry name.Registry
	puller   *remote.Puller
	pusher   *remote.Pusher
}

// askWithin is how long one list, look-up or deletion may take.
const askWithin = 30 * time.Second

// registryOf makes the client. It speaks TLS, unless the daemon is configured to use that registry without.
func (b *Builder) registryOf(ctx context.Context) (*registryClient, error) {
	daemon, err := b.docker.Info(ctx, client.InfoOptions{})
	if err != nil {
		return nil, fmt.Errorf("ask the daemon how it reaches the registry: %w", err)
	}
	insecure := false
	if r := daemon.Info.RegistryConfig; r != nil {
		index := r.IndexConfigs[b.registry.host]
		insecure = index != nil && !index.Secure || within(b.registry.host, r.InsecureRegistryCIDRs)
	}
	auth := authn.Anonymous
	if l, ok := parseLogin(b.opts.RegistryLogin); ok && l.any != nil {
		auth = &authn.Basic{Username: l.any.Username, Password: l.any.Password}
	}
	return newRegistryClient(b.registry.host, insecure, auth)
}

func newRegistryClient(host string, insecure bool, auth authn.Authenticator) (*registryClient, error) {
	scheme, options := "https", []name.Option{}
	if insecure {
		scheme, options = "http", append(options, name.Insecure)
	}
	registry, err := name.NewRegistry(host, options...)
	if err != nil {
		return nil, fmt.Errorf("read the registry's address: %w", err)
	}
	o := []remote.Option{remote.WithAuth(auth), remote.WithTransport(onlyScheme(scheme))}
	puller, err := remote.NewPuller(o...)
	if err != nil {
		return nil, fmt.Errorf("prepare requests to the registry: %w", err)
	}
	pusher, err := remote.NewPusher(o...)
	if err != nil {
		return nil, fmt.Errorf("prepare requests to the registry: %w", err)
	}
	return &registryClient{registry: registry, puller: puller, pusher: pusher}, nil
}

// onlyScheme sends requests of one scheme only, because the library itself tries http on private addresses, which would
// send the password in clear text.
type onlyScheme string

// RoundTrip implements http.RoundTripper.
func (s onlyScheme) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != string(s) {
		return nil, fmt.Errorf("the registry is reached with %s only, not %s", string(s), r.URL.Scheme)
	}
	return http.DefaultTransport.RoundTrip(r)
}

// within reports whether a host is an address in one of the networks, or localhost.
func within(host string, networks []netip.Prefix) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	if name == "localhost" {
		name = "127.0.0.1"
	}
	addr, err := netip.ParseAddr(name)
	if err != nil {
		return false
	}
	for _, network := range networks {
		if network.Contains(addr) {
			return true
		}
	}
	return false
}

// isAbsent reports whether the registry answered that it has no such repository, tag or image.
func isAbsent(err error) bool {
	var answer *transport.Error
	return errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound
}

// repositories lists all repositories. A registry that keeps no list has none.
func (c *registryClient) repositories(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	all, err := c.puller.Catalog(ctx, c.registry)
	return orNone(all, err, "list the registry's repositories")
}

// tags lists the tags of a repository; one that does not exist has none.
func (c *registryClient) tags(ctx context.Context, repository string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	all, err := c.puller.List(ctx, c.registry.Repo(repository))
	return orNone(all, err, "list the tags of "+repository+" in the registry")
}

func orNone(all []string, err error, what string) ([]string, error) {
	if isAbsent(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return all, nil
}

// digest returns what a tag, host/repository:tag, refers to; "" if the registry does not have it.
func (c *registryClient) digest(ctx context.Context, tag string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	repository, text, _ := strings.Cut(strings.TrimPrefix(tag, c.registry.Name()+"/"), ":")
	found, err := c.puller.Head(ctx, c.registry.Repo(repository).Tag(text))
	switch {
	case isAbsent(err):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("look up %s in the registry: %w", tag, err)
	}
	return found.Digest.String(), nil
}

// remove deletes an image with all its tags in that repository. It is no error if the registry does not have it.
func (c *registryClient) remove(ctx context.Context, repository, digest string) error {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	if err := c.pusher.Delete(ctx, c.registry.Repo(repository).Digest(digest)); err != nil && !isAbsent(err) {
		return fmt.Errorf("delete %s@%s from the registry: %w", repository, digest, err)
	}
	return nil
}

// registryImages returns the images of functions in the registry, by tag. A registry without a list has none.
func (b *Builder) registryImages(ctx context.Context, c *registryClient) (map[string]faas.RevisionRef, error) {
	found := map[string]faas.RevisionRef{}
	all, err := c.repositories(ctx)
	if err != nil {
		return found, err
	}
	for _, repository := range all {
		if !b.registry.contains(b.registry.host + "/" + repository) {
			continue
		}
		tags, err := c.tags(ctx, repository)
		if err != nil {
			return found, err
		}
		for _, tag := range tags {
			name := b.registry.host + "/" + repository + ":" + tag
			if ref, is := b.registry.revision(name); is {
				found[name] = ref
			}
		}
	}
	return found, nil
}

// removeFromRegistry removes tags from the registry. A registry removes a digest with all its tags, so that a digest
// which another revision has, too, stays.
func (b *Builder) removeFromRegistry(ctx context.Context, c *registryClient, gone []string) error {
	if len(gone) == 0 {
		return nil
	}
	now, err := b.registryImages(ctx, c) // again, because an image pushed since may have the same digest
	if err != nil {
		return err
	}
	functions := map[faas.FunctionName]bool{}
	for _, tag := range gone {
		functions[now[tag].Function] = true
	}
	needed, unneeded := map[string]bool{}, map[string]bool{}
	for tag, ref := range now {
		if !functions[ref.Function] {
			continue
		}
		digest, err := c.digest(ctx, tag)
		if err != nil {
			return err
		}
		image := b.registry.path + "/" + string(ref.Function) + "@" + digest
		if slices.Contains(gone, tag) {
			unneeded[image] = true
		} else {
			needed[image] = true
		}
	}
	var errs []error
	for image := range unneeded {
		if repository, digest, _ := strings.Cut(image, "@"); !needed[image] && digest != "" {
			errs = append(errs, c.remove(ctx, repository, digest))
		}
	}
	return errors.Join(errs...)
}
