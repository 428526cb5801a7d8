package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/client"

	"davit/internal/faas"
)

// registryClient speaks to the registry itself, to remove what is no longer needed: the daemon cannot. Where the registry
// does not let it, or cannot be reached from here, the images stay.
type registryClient struct {
	base  string // http(s)://host
	login *login
	host  string
	http  *http.Client
}

const (
	askWithin = 30 * time.Second
	pageSize  = 1000 // of lists
	maxAnswer = 4 << 20
)

// manifestKinds are what a registry is asked for.
const manifestKinds = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json, " +
	"application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.oci.image.index.v1+json"

// registryOf makes the client, with TLS unless the daemon is told to do without it for that registry.
func (b *Builder) registryOf(ctx context.Context) (*registryClient, error) {
	told, err := b.docker.Info(ctx, client.InfoOptions{})
	if err != nil {
		return nil, fmt.Errorf("ask the daemon how it speaks to the registry: %w", err)
	}
	c := &registryClient{base: "https://" + b.registry.host, host: b.registry.host, http: &http.Client{Timeout: askWithin}}
	if r := told.Info.RegistryConfig; r != nil {
		if index := r.IndexConfigs[c.host]; index != nil && !index.Secure || within(c.host, r.InsecureRegistryCIDRs) {
			c.base = "http://" + c.host
		}
	}
	if b.o.RegistryLogin != "" {
		c.login, _ = parseLogin(b.o.RegistryLogin)
	}
	return c, nil
}

// within reports whether a host is an address, or the name of this machine, in one of the networks.
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

var errNotHeld = errors.New("the registry has no such thing")

// ask sends one request; the body of the answer is small.
func (c *registryClient) ask(ctx context.Context, method, path string) (http.Header, []byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.base+path, http.NoBody)
	if err != nil {
		return nil, nil, err
	}
	request.Header.Set("Accept", manifestKinds)
	if c.login != nil && c.login.any != nil {
		request.SetBasicAuth(c.login.any.Username, c.login.any.Password)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, nil, fmt.Errorf("ask the registry: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("read the registry's answer: %w", err)
	case response.StatusCode == http.StatusNotFound:
		return nil, nil, errNotHeld
	case response.StatusCode >= http.StatusMultipleChoices:
		return nil, nil, fmt.Errorf("the registry answered %s %s with %s", method, path, response.Status)
	}
	return response.Header, body, nil
}

// listed is a page of a list: of repositories, or of the tags of one.
type listed struct {
	Repositories []string `json:"repositories"`
	Tags         []string `json:"tags"`
}

// list reads all pages of a list; one that is not there is empty.
func (c *registryClient) list(ctx context.Context, path string) (all listed, err error) {
	next := path + "?n=" + strconv.Itoa(pageSize)
	for next != "" {
		header, body, err := c.ask(ctx, http.MethodGet, next)
		if errors.Is(err, errNotHeld) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		var page listed
		if err := json.Unmarshal(body, &page); err != nil {
			return all, fmt.Errorf("read the registry's list: %w", err)
		}
		all.Repositories = append(all.Repositories, page.Repositories...)
		all.Tags = append(all.Tags, page.Tags...)
		next = nextPage(header.Get("Link"))
	}
	return all, nil
}

// nextPage is the path in a Link header such as `</v2/_catalog?last=x&n=2>; rel="next"`.
func nextPage(link string) string {
	text, rest, _ := strings.Cut(strings.TrimPrefix(link, "<"), ">")
	u, err := url.Parse(text)
	if err != nil || !strings.Contains(rest, `rel="next"`) {
		return ""
	}
	return u.RequestURI()
}

// digest is what a tag stands for; "" when it is gone.
func (c *registryClient) digest(ctx context.Context, name string) (string, error) {
	repository, tag, _ := strings.Cut(strings.TrimPrefix(name, c.host+"/"), ":")
	header, _, err := c.ask(ctx, http.MethodHead, "/v2/"+repository+"/manifests/"+tag)
	if errors.Is(err, errNotHeld) {
		return "", nil
	}
	return header.Get("Docker-Content-Digest"), err
}

func (c *registryClient) remove(ctx context.Context, repository, digest string) error {
	_, _, err := c.ask(ctx, http.MethodDelete, "/v2/"+repository+"/manifests/"+digest)
	if errors.Is(err, errNotHeld) {
		return nil
	}
	return err
}

// held lists the functions' images that the registry has, by their names. A registry that keeps no lists has none.
func (b *Builder) held(ctx context.Context, c *registryClient) (map[string]faas.RevisionRef, error) {
	found := map[string]faas.RevisionRef{}
	all, err := c.list(ctx, "/v2/_catalog")
	if err != nil {
		return found, err
	}
	for _, repository := range all.Repositories {
		if !b.registry.holds(c.host + "/" + repository) {
			continue
		}
		one, err := c.list(ctx, "/v2/"+repository+"/tags/list")
		if err != nil {
			return found, err
		}
		for _, tag := range one.Tags {
			name := c.host + "/" + repository + ":" + tag
			if ref, is := b.registry.revision(name); is {
				found[name] = ref
			}
		}
	}
	return found, nil
}

// removeHeld removes tags from the registry. A registry removes by digest, and with it all tags of that: what another
// revision has as well stays.
func (b *Builder) removeHeld(ctx context.Context, c *registryClient, gone []string) error {
	if len(gone) == 0 {
		return nil
	}
	now, err := b.held(ctx, c) // again, for what was pushed since may be the same image
	if err != nil {
		return err
	}
	functions := map[faas.FunctionName]bool{}
	for _, tag := range gone {
		functions[now[tag].Function] = true
	}
	needed, going := map[string]bool{}, map[string]bool{}
	for tag, ref := range now {
		if !functions[ref.Function] {
			continue
		}
		digest, err := c.digest(ctx, tag)
		if err != nil {
			return err
		}
		place := b.registry.path + "/" + string(ref.Function) + "@" + digest
		if slices.Contains(gone, tag) {
			going[place] = true
		} else {
			needed[place] = true
		}
	}
	var errs []error
	for place := range going {
		if repository, digest, _ := strings.Cut(place, "@"); !needed[place] && digest != "" {
			errs = append(errs, c.remove(ctx, repository, digest))
		}
	}
	return errors.Join(errs...)
}
