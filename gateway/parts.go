package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"

	"davit/gateway/embedded"
	"davit/gateway/local"
	"davit/gateway/redisstore"
	"davit/internal/archive"
	"davit/internal/blob"
	"davit/internal/faas"
	"davit/internal/faas/route"
	"davit/internal/task"
)

func newGatewayID() faas.GatewayID {
	return faas.GatewayID("gw-" + strings.ReplaceAll(uuid.NewString(), "-", "")[:12])
}

// makeDataDir makes the data folder. Others may pass through it, to the runners'
// folders below, and see nothing of it; what is private has folders of its own.
func makeDataDir(dir string) error {
	if err := os.MkdirAll(dir, 0o711); err != nil { //nolint:gosec // see above
		return fmt.Errorf("make %s (set DAVIT_DATA_DIR to choose another folder): %w", dir, err)
	}
	return nil
}

// makeRunDir makes the folder of what is on its way, and of local runners, who pass through it.
func makeRunDir(dataDir string) (string, error) {
	dir, err := local.ChooseDir(dataDir)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o711); err != nil { //nolint:gosec // see above
		return "", fmt.Errorf("make %s: %w", dir, err)
	}
	return dir, nil
}

// token is the admin token, and the file that holds it for programs on this machine.
type token struct {
	value string
	file  string
}

// adminToken takes the token from the settings, or from the data folder, where the first start makes one.
func adminToken(cfg *Config) (token, error) {
	t := token{value: cfg.Token, file: filepath.Join(cfg.DataDir, "token")}
	if t.value == "" {
		b, err := os.ReadFile(t.file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return t, fmt.Errorf("read the admin token: %w", err)
		}
		t.value = strings.TrimSpace(string(b))
	}
	if t.value == "" {
		var b [32]byte
		_, _ = rand.Read(b[:]) // never fails
		t.value = hex.EncodeToString(b[:])
	}
	if err := os.WriteFile(t.file, []byte(t.value+"\n"), 0o600); err != nil { //nolint:gosec // in the operator's folder
		return t, fmt.Errorf("write the admin token: %w", err)
	}
	return t, nil
}

// listeners are the gateway's four sockets.
type listeners struct {
	console, calls, runners net.Listener
	downloads               net.Listener // nil: off
	runnerPublic            string
}

// listen opens all sockets before anything else happens, so that a port in use is said at once.
func listen(ctx context.Context, cfg *Config) (*listeners, error) {
	n := &listeners{runnerPublic: cfg.RunnerPublic}
	for _, l := range []struct {
		into          *net.Listener
		addr, setting string
	}{
		{&n.console, cfg.ConsoleAddr, "DAVIT_CONSOLE_ADDR"},
		{&n.calls, cfg.CallsAddr, "DAVIT_CALLS_ADDR"},
		{&n.runners, cfg.RunnerAddr, "DAVIT_RUNNER_ADDR"},
		{&n.downloads, cfg.DownloadAddr, "DAVIT_DOWNLOAD_ADDR"},
	} {
		if l.addr == "off" {
			continue
		}
		ln, err := new(net.ListenConfig).Listen(ctx, "tcp", l.addr)
		if err != nil {
			n.close()
			return nil, fmt.Errorf("%w (set %s to listen elsewhere)", err, l.setting)
		}
		*l.into = ln
	}
	return n, nil
}

func (n *listeners) close() {
	for _, l := range []net.Listener{n.console, n.calls, n.runners, n.downloads} {
		if l != nil {
			_ = l.Close() // closed already where it was served
		}
	}
}

// runnerAddr is where runners reach this gateway.
func (n *listeners) runnerAddr() string {
	if n.runnerPublic != "" {
		return n.runnerPublic
	}
	return n.runners.Addr().String()
}

// openRedis starts the embedded Redis, or uses the one that is set.
func (g *gateway) openRedis(ctx context.Context) error {
	address := g.cfg.RedisURL
	if address == "" {
		s, err := embedded.Start(ctx, embedded.Options{Dir: filepath.Join(g.cfg.DataDir, "redis"), Password: uuid.NewString(), Log: g.log})
		if err != nil {
			return err
		}
		address = s.URL()
		g.life.start("embedded Redis", func(context.Context) error { return g.watchJournal(s.Err()) })
		g.life.onStop("embedded Redis", func() {
			if err := s.Close(); err != nil {
				g.log.Error("close the embedded Redis", "error", err)
			}
		})
	}
	store, err := redisstore.Open(ctx, redisstore.Options{URL: address, Slots: route.Slots, Log: g.log, Now: time.Now})
	if err != nil {
		return err
	}
	g.records = store
	g.life.onStop("Redis connections", func() { _ = store.Close() })
	if err := store.Ready(ctx); err != nil {
		return err
	}
	g.life.start("subscriptions", store.Run)
	return nil
}

// watchJournal says why the embedded Redis refuses writes, until it is closed.
func (g *gateway) watchJournal(failures <-chan error) error {
	for err := range failures {
		g.log.Error("the journal of the embedded Redis cannot be written; registrations and calls are refused until it can", "error", err)
	}
	return nil
}

// objects is the object store in use and the ways to it.
type objects struct {
	kind    string // for people: "folder" or "s3"
	store   blob.Store
	signer  blob.Signer
	runners http.Handler // for runners, below task.PathStore; nil: they reach the store by themselves
	public  http.Handler // of the download listener
}

func (g *gateway) openObjects(ctx context.Context) error {
	if g.cfg.S3Endpoint != "" {
		return g.openS3(ctx)
	}
	secret, err := g.records.Secret(ctx)
	if err != nil {
		return err
	}
	folder, err := blob.NewFolder(filepath.Join(g.cfg.DataDir, "store"), blob.FolderOptions{
		Secret: secret, Now: time.Now, Log: g.log, PublicBase: g.downloadBase,
		RunnerBase: func() string { return "http://" + g.net.runnerAddr() + strings.TrimSuffix(task.PathStore, "/") },
	})
	if err != nil {
		return err
	}
	g.life.onStop("store folder", func() { _ = folder.Close() })
	g.objects = &objects{kind: "folder", store: folder, signer: folder, runners: folder.RunnerHandler(), public: folder.PublicHandler()}
	return nil
}

func (g *gateway) openS3(ctx context.Context) error {
	c := g.cfg
	s3, err := blob.NewS3(blob.S3Options{
		Endpoint: c.S3Endpoint, Region: c.S3Region, Bucket: c.S3Bucket, AccessKey: c.S3AccessKey, SecretKey: c.S3SecretKey,
		RunnerEndpoint: c.S3RunnerEndpoint, PublicEndpoint: g.downloadBase(),
		DownloadAccessKey: c.S3DownloadAccessKey, DownloadSecretKey: c.S3DownloadSecretKey,
	})
	if err != nil {
		return err
	}
	if err := s3.EnsureBucket(ctx); err != nil {
		return err
	}
	target, err := url.Parse(withScheme(c.S3Endpoint))
	if err != nil {
		return fmt.Errorf("DAVIT_S3_ENDPOINT: %w", err)
	}
	target.Path = "/" + c.S3Bucket
	g.life.onStop("S3 connections", func() { _ = s3.Close() })
	g.objects = &objects{kind: "s3", store: s3, signer: s3, public: blob.NewPassThrough(target)}
	return nil
}

func withScheme(endpoint string) string {
	if strings.Contains(endpoint, "://") {
		return endpoint
	}
	return "http://" + endpoint
}

// downloadBase is what signed URLs for the public begin with.
func (g *gateway) downloadBase() string {
	switch {
	case g.cfg.DownloadPublic != "":
		return strings.TrimSuffix(g.cfg.DownloadPublic, "/")
	case g.net.downloads != nil:
		return "http://" + g.net.downloads.Addr().String()
	}
	return withScheme(g.cfg.S3Endpoint)
}

// besideOrInPath finds a program in the folder of another one, else in PATH.
func besideOrInPath(self, name string) (string, error) {
	beside := filepath.Join(filepath.Dir(self), name)
	if info, err := os.Stat(beside); err == nil && info.Mode().IsRegular() {
		return beside, nil
	}
	found, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%s is neither beside the gateway nor in PATH (set DAVIT_RUNNER_BINARY): %w", name, err)
	}
	return found, nil
}

// archiveLimits are the limits of uploaded sources.
func archiveLimits(cfg *Config) archive.Limits {
	return archive.Limits{
		PackedBytes: int64(cfg.sizes.maxArchive), UnpackedBytes: int64(cfg.sizes.maxUnpacked), Entries: cfg.MaxArchiveEntries,
	}
}
