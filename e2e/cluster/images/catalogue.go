package images

import (
	"context"
	"path/filepath"
	"strings"
)

// The names of the images that every cluster has, for manifests and tests. They are in no registry, so that pods must
// have imagePullPolicy Never or IfNotPresent.
const (
	// Pause keeps a pod's namespaces.
	Pause = "davit.local/pause:1"
	// CoreDNS is the cluster's DNS.
	CoreDNS = "davit.local/coredns:1"
	// Shell is busybox alone, with a user nobody.
	Shell = "davit.local/shell:1"
	// Base is a minimal Debian.
	Base = "davit.local/base:bookworm"
	// Redis has redis-server and redis-cli, on the base.
	Redis = "davit.local/redis:7"
	// MinIO has minio, on the base.
	MinIO = "davit.local/minio:1"
	// Registry has /bin/registry with a configuration that keeps images in /var/lib/registry and listens on port 5000,
	// on the shell image.
	Registry = "davit.local/registry:3"
	// Docker has dockerd and docker, on the base.
	Docker = "davit.local/docker:20"
)

// Programs are the folders of compiled programs.
type Programs struct {
	Pause, CoreDNS, MinIO, Registry string
}

// applets are the commands of busybox in the shell image.
const applets = "[ ash awk base64 cat chmod chown cp cut date dd df dirname du echo env expr false find grep gunzip gzip head hexdump hostname " +
	"httpd id ip kill less ln ls md5sum mkdir mktemp mount mv nc netstat nproc nslookup od ping printenv printf ps readlink rm rmdir route sed seq " +
	"sh sha256sum sleep sort stat tail tar tee telnet test time timeout top touch tr true umount uname uniq unzip vi wc wget which whoami xargs yes"

const registryConfig = `version: 0.1
log: {level: warn}
storage:
  filesystem: {rootdirectory: /var/lib/registry}
  delete: {enabled: true}
http: {addr: ":5000"}
`

// Essential returns the images that a cluster cannot run without, and the shell.
func (c *Cache) Essential(ctx context.Context, programs Programs) ([]Image, error) {
	pause, err := c.program(ctx, "pause", programs.Pause, "pause")
	if err != nil {
		return nil, err
	}
	dns, err := c.program(ctx, "coredns", programs.CoreDNS, "coredns")
	if err != nil {
		return nil, err
	}
	shell, err := c.shell(ctx)
	if err != nil {
		return nil, err
	}
	return []Image{
		{Ref: Pause, Layers: []Layer{pause}, Run: Run{Entrypoint: []string{"/bin/pause"}, User: "65535:65535"}},
		{Ref: CoreDNS, Layers: []Layer{dns}, Run: Run{Entrypoint: []string{"/bin/coredns"}}},
		{Ref: Shell, Layers: shell, Run: Run{Cmd: []string{"/bin/sh"}, Env: path()}},
	}, nil
}

// Services returns the images that Davit's manifests use beside its own.
func (c *Cache) Services(ctx context.Context, programs Programs) ([]Image, error) {
	base, err := c.Layer(ctx, "base", Suite, Debian("minbase"))
	if err != nil {
		return nil, err
	}
	redis, err := c.Layer(ctx, "redis", Suite, Above(base, Debian("minbase", "redis-server", "redis-tools")))
	if err != nil {
		return nil, err
	}
	docker, err := c.Layer(ctx, "docker", Suite, Above(base, Debian("minbase", "docker.io", "iptables", "ca-certificates")))
	if err != nil {
		return nil, err
	}
	minio, err := c.program(ctx, "minio", programs.MinIO, "minio")
	if err != nil {
		return nil, err
	}
	registry, err := c.program(ctx, "registry", programs.Registry, "registry",
		File{Name: "etc/distribution/", Mode: 0o755}, File{Name: "etc/distribution/config.yml", Mode: 0o644, Text: registryConfig},
		File{Name: "var/lib/registry/", Mode: 0o1777})
	if err != nil {
		return nil, err
	}
	shell, err := c.shell(ctx)
	if err != nil {
		return nil, err
	}
	return []Image{
		{Ref: Base, Layers: []Layer{base}, Run: Run{Cmd: []string{"/bin/bash"}, Env: path()}},
		{Ref: Redis, Layers: []Layer{base, redis}, Run: Run{Cmd: []string{"redis-server"}, Env: path(), WorkingDir: "/tmp"}},
		{Ref: MinIO, Layers: []Layer{base, minio}, Run: Run{Entrypoint: []string{"/bin/minio"}, Env: path()}},
		{Ref: Registry, Layers: append(shell, registry), Run: Run{
			Entrypoint: []string{"/bin/registry"}, Cmd: []string{"serve", "/etc/distribution/config.yml"},
			Env: append(path(), "OTEL_TRACES_EXPORTER=none"),
		}},
		{Ref: Docker, Layers: []Layer{base, docker}, Run: Run{Entrypoint: []string{"dockerd"}, Env: path()}},
	}, nil
}

// program makes a layer of one static program and more files. Its version is in the name of its folder.
func (c *Cache) program(ctx context.Context, name, folder, file string, more ...File) (Layer, error) {
	_, version, _ := strings.Cut(filepath.Base(folder), "@")
	files := append([]File{
		{Name: "bin/", Mode: 0o755},
		{Name: "bin/" + name, Mode: 0o755, Source: filepath.Join(folder, file)},
		{Name: "tmp/", Mode: 0o1777},
	}, more...)
	return c.Layer(ctx, name, version, Files(files...))
}

// shell returns two layers: Debian's busybox, and links for its commands.
func (c *Cache) shell(ctx context.Context) ([]Layer, error) {
	busybox, err := c.Layer(ctx, "busybox", Suite, Debian("extract", "busybox-static"))
	if err != nil {
		return nil, err
	}
	files := []File{
		{Name: "etc/passwd", Mode: 0o644, Text: "root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n"},
		{Name: "etc/group", Mode: 0o644, Text: "root:x:0:\nnogroup:x:65534:\n"},
		{Name: "tmp/", Mode: 0o1777},
	}
	for name := range strings.FieldsSeq(applets) {
		files = append(files, File{Name: "bin/" + name, Mode: 0o777, Link: "busybox"})
	}
	names, err := c.Layer(ctx, "shell", "1", Files(files...))
	return []Layer{busybox, names}, err
}

func path() []string {
	return []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
}
