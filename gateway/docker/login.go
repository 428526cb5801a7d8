package docker

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"strings"

	"github.com/moby/moby/api/pkg/authconfig"
	"github.com/moby/moby/api/types/registry"

	"davit/internal/faas"
)

// loginOf reads the secret of that name; it returns nil for no name.
func (b *Builder) loginOf(ctx context.Context, name string) (*login, error) {
	if name == "" {
		return nil, nil //nolint:nilnil // to have none is no error
	}
	if b.opts.Secret == nil {
		return nil, faas.Errorf(faas.BuildFailed, "registry_secret %q cannot be read: this installation keeps no secrets", name)
	}
	value, err := b.opts.Secret(ctx, name)
	if err != nil {
		return nil, err
	}
	l, ok := parseLogin(value)
	if !ok {
		return nil, faas.Errorf(faas.BuildFailed, "registry_secret %q is no login: write USER:PASSWORD, or what `docker login` writes to config.json", name)
	}
	return l, nil
}

// parseLogin reads "USER:PASSWORD" or Docker's config.json.
func parseLogin(value string) (*login, bool) {
	value = strings.TrimSpace(value)
	if !strings.HasPrefix(value, "{") {
		user, password, ok := strings.Cut(value, ":")
		return &login{any: &registry.AuthConfig{Username: user, Password: password}}, ok && user != "" && password != ""
	}
	var file struct {
		Auths map[string]registry.AuthConfig `json:"auths"`
	}
	if err := json.Unmarshal([]byte(value), &file); err != nil || len(file.Auths) == 0 {
		return nil, false
	}
	l := &login{byHost: map[string]registry.AuthConfig{}}
	for host, auth := range file.Auths {
		if auth.Username == "" && auth.Auth != "" {
			text, err := base64.StdEncoding.DecodeString(auth.Auth)
			if err != nil {
				return nil, false
			}
			auth.Username, auth.Password, _ = strings.Cut(string(text), ":")
			auth.Auth = ""
		}
		l.byHost[hostOf(host)] = auth
	}
	return l, true
}

// hostOf returns the host of an entry of config.json. Docker Hub has entries under other names.
func hostOf(entry string) string {
	entry = strings.TrimPrefix(strings.TrimPrefix(entry, "https://"), "http://")
	host, _, _ := strings.Cut(entry, "/")
	if host == "index.docker.io" || host == "registry-1.docker.io" {
		return "docker.io"
	}
	return host
}

// header returns the X-Registry-Auth header for host. Without a login it is an empty credential, because older daemons
// require the header.
func (l *login) header(host string) (string, error) {
	var auth registry.AuthConfig
	switch {
	case l == nil:
	case l.any != nil:
		auth = *l.any
		auth.ServerAddress = host
	default:
		if known, ok := l.byHost[host]; ok {
			auth = known
			auth.ServerAddress = host
		}
	}
	return authconfig.Encode(auth)
}
