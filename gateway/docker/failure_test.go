//go:build cluster

package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/build"
	"github.com/moby/moby/client"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"davit/internal/faas"
	"davit/internal/testenv"
)

// scratch makes an image that holds one file and no shell.
func (s *site) scratch(t *testing.T, name, architecture string) {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := errors.Join(packText(w, contextFile, "FROM scratch\nCOPY x /x\n"), packText(w, "x", "x"), w.Close()); err != nil {
		t.Fatal(err)
	}
	o := client.ImageBuildOptions{Version: build.BuilderV1, Remove: true, Tags: []string{name}}
	if architecture != "" {
		o.Platforms = []ocispec.Platform{{OS: "linux", Architecture: architecture}}
	}
	answer, err := s.docker.ImageBuild(t.Context(), &b, o)
	if err == nil {
		err = errors.Join(follow(t.Context(), answer.Body, func(*message) error { return nil }), answer.Body.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// otherMachine pushes an image for another architecture, which the daemon does not keep, and returns its name.
func (s *site) otherMachine(t *testing.T) string {
	t.Helper()
	name := s.registry.Addr + "/team/other-machine:1"
	s.scratch(t, name, "s390x")
	s.push(t, name)
	return name
}

// push pushes an image and removes it from the daemon.
func (s *site) push(t *testing.T, name string) {
	t.Helper()
	auth, err := (*login)(nil).header("")
	if err != nil {
		t.Fatal(err)
	}
	answer, err := s.docker.ImagePush(t.Context(), name, client.ImagePushOptions{RegistryAuth: auth})
	if err == nil {
		err = answer.Wait(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.docker.ImageRemove(t.Context(), name, client.ImageRemoveOptions{}); err != nil {
		t.Fatal(err)
	}
}

func TestBuildFails(t *testing.T) {
	s := newSite(t)
	var later time.Duration
	b := s.builder(t, func(o *Options) {
		o.Now = func() time.Time { return time.Now().Add(later) }
		o.Memory, o.Disk, o.Output = 32*faas.MiB, 4*faas.MiB, 64*faas.KiB
		o.BaseImages = []string{"base:*", "shell-less*", s.registry.Addr + "/*"}
	})
	otherMachine := s.otherMachine(t)
	const shellLess = "shell-less:1"
	s.scratch(t, shellLess, "")
	const triggering, stealing = "triggering:1", "stealing:1"
	s.daemon.Import(triggering, "ONBUILD COPY --from=busybox / /")
	s.daemon.Import(stealing, "ONBUILD COPY --from="+s.registry.Addr+"/davit/other:1 / /")
	before := strings.Join(s.images(t), " ")
	plain := []entry{file("app.txt", "app")}
	own := func(text string) []entry { return []entry{file("Dockerfile", text), file("app.txt", "app")} }
	type spec = faas.FunctionSpec
	for name, c := range map[string]struct {
		spec   spec
		source []entry
		kind   faas.Kind
		detail string
	}{
		"setup fails":              {spec{Setup: "echo oh no; exit 3"}, plain, faas.BuildFailed, "setup failed with exit code 3"},
		"setup needs memory":       {spec{Setup: "head -c 200000000 /dev/zero | tail"}, plain, faas.BuildFailed, "more than the 32Mi of memory"},
		"setup fills the disk":     {spec{Setup: "while true; do head -c 1000000 /dev/zero >>x; sleep 0.1; done"}, plain, faas.BuildFailed, "wrote more than 4Mi to its disk"},
		"setup writes without end": {spec{Setup: "yes"}, plain, faas.BuildFailed, "wrote more than 64Ki to its log"},
		"no shell for setup":       {spec{BaseImage: shellLess, Setup: "true"}, plain, faas.BuildFailed, "the image has no /bin/sh"},
		"no base image":            {spec{BaseImage: "-"}, plain, faas.BuildFailed, "no image to build on"},
		"base not allowed":         {spec{BaseImage: "python:3"}, plain, faas.BuildFailed, "building on the image python:3 is not allowed here; use one of: base:*, shell-less*, "},
		"base not found":           {spec{BaseImage: s.registry.Addr + "/nothing:1"}, plain, faas.BuildFailed, "/nothing:1 was not found"},
		"base of another machine":  {spec{BaseImage: otherMachine}, plain, faas.BuildFailed, "is for linux/s390x, and functions run on linux/"},
		"base of another function": {spec{BaseImage: s.registry.Addr + "/davit/other:1"}, plain, faas.BuildFailed, "is the image of another function"},
		"base and Dockerfile":      {spec{BaseImage: shellLess}, own("FROM base:1\n"), faas.BuildFailed, "leave out base_image"},
		"image not found":          {spec{Image: s.registry.Addr + "/nothing:1"}, nil, faas.BuildFailed, "/nothing:1 was not found"},
		"image of another machine": {spec{Image: otherMachine}, nil, faas.BuildFailed, "is for linux/s390x"},
		"image's registry is away": {spec{Image: "127.0.0.1:1/app:1"}, nil, faas.Unavailable, "its registry does not answer"},
		"image by a bad name":      {spec{Image: strings.Repeat("a", 64)}, nil, faas.BuildFailed, "is no name of an image"},
		"Dockerfile broken":        {spec{}, own("FROM base:1\nRUM true\n"), faas.BuildFailed, "unknown instruction: RUM"},
		"Dockerfile empty":         {spec{}, own("# nothing\n"), faas.BuildFailed, "has no FROM"},
		"Dockerfile fails":         {spec{}, own("FROM base:1\nRUN false\n"), faas.BuildFailed, "the Dockerfile failed with exit code 1"},
		"Dockerfile lacks a file":  {spec{}, own("FROM base:1\nCOPY nothing /\n"), faas.BuildFailed, "nothing"},
		"Dockerfile's base":        {spec{}, own("FROM base:1\nFROM busybox\n"), faas.BuildFailed, "building on the image busybox:latest is not allowed"},
		"Dockerfile's copy":        {spec{}, own("FROM base:1\nCOPY --from=busybox / /\n"), faas.BuildFailed, "building on the image busybox:latest is not allowed"},
		"Dockerfile's own stage":   {spec{}, own("FROM base:1 AS busybox\nCOPY --from=busybox / /\n"), faas.BuildFailed, "building on the image busybox:latest is not allowed"},
		"Dockerfile's trigger":     {spec{}, own("FROM base:1 AS x\nONBUILD COPY --from=busybox / /\nFROM x\n"), faas.BuildFailed, "building on the image busybox:latest is not allowed"},
		"image's trigger":          {spec{Image: triggering}, nil, faas.BuildFailed, "building on the image busybox:latest is not allowed"},
		"image copies another's":   {spec{Image: stealing}, nil, faas.BuildFailed, "is the image of another function"},
		"Dockerfile's heredoc":     {spec{}, own("FROM base:1\nRUN <<EOF\nFROM busybox\nEOF\n"), faas.BuildFailed, "has a heredoc in line 2"},
		"Dockerfile's argument":    {spec{}, own("ARG X\nFROM base:$X\n"), faas.BuildFailed, "depends on what is not known"},
		"Dockerfile's machine":     {spec{}, own("FROM " + otherMachine + "\n"), faas.BuildFailed, "is for linux/s390x"},
		"bad archive":              {spec{}, append(plain, entry{name: "out", link: "../x"}), faas.BuildFailed, "leads out"},
		"secret without secrets":   {spec{RegistrySecret: "hub"}, plain, faas.BuildFailed, "keeps no secrets"},
	} {
		t.Run(name, func(t *testing.T) {
			var packed []byte
			if c.source != nil {
				packed = source(t, c.source...)
			}
			rev := revision("f", 1, c.spec, packed)
			if c.spec.BaseImage == "-" {
				rev.Spec.BaseImage = ""
			}
			began := time.Now()
			_, log, err := b.make(t.Context(), rev, packed)
			failed(t, err, c.kind, c.detail)
			t.Logf("%.1f s, %v\n%.2000s", time.Since(began).Seconds(), err, log)
		})
	}
	testenv.Eventually(t, "no container is left", func() bool { return s.containers(t) == 0 })
	b.tidying.Wait()
	later = 2 * time.Hour
	if err := b.Tidy(t.Context()); err != nil {
		t.Error(err)
	}
	if after := strings.Join(s.images(t), " "); after != before {
		t.Errorf("images are left: %s, before %s", after, before)
	}
}

func TestStoredSourceIsWhatWasUploaded(t *testing.T) {
	s := newSite(t)
	b := s.builder(t, nil)
	packed := source(t, file("app.txt", "app"))
	_, _, err := b.make(t.Context(), revision("f", 1, faas.FunctionSpec{}, []byte("another")), packed)
	failed(t, err, faas.BuildFailed, "is not what was uploaded")
}

// TestBuildEnds: a build that hangs ends with its context, in the daemon too, and the next build works.
func TestBuildEnds(t *testing.T) {
	s := newSite(t)
	b := s.builder(t, nil)
	packed := source(t, file("app.txt", "app"))
	slow := errors.New("it took too long")
	ctx, cancel := context.WithCancelCause(t.Context())
	type outcome struct {
		log string
		err error
	}
	done := make(chan outcome, 1)
	go func() {
		_, log, err := b.make(ctx, revision("f", 1, faas.FunctionSpec{Setup: "echo begun; sleep 1000000"}, packed), packed)
		done <- outcome{log, err}
	}()
	testenv.Eventually(t, "the step runs", func() bool { return s.running(t) == 1 })
	cancel(slow)
	if got := <-done; !errors.Is(got.err, slow) || faas.KindOf(got.err) == faas.BuildFailed {
		t.Errorf("got %v\n%s", got.err, got.log)
	}
	testenv.Eventually(t, "nothing runs", func() bool { return s.containers(t) == 0 })
	b.mustMake(t, revision("f", 1, faas.FunctionSpec{Setup: "true"}, packed), packed)
}

func (s *site) running(t *testing.T) int {
	t.Helper()
	list, err := s.docker.ContainerList(t.Context(), client.ContainerListOptions{})
	if err != nil {
		t.Error(err)
	}
	return len(list.Items)
}

// TestDaemonDies: a build whose daemon is killed is Unavailable and can be repeated; the containers it left are
// removed.
func TestDaemonDies(t *testing.T) {
	s := newSite(t)
	now := time.Now()
	b := s.builder(t, func(o *Options) { o.Now = func() time.Time { return now } })
	packed := source(t, file("app.txt", "app"))
	rev := revision("f", 1, faas.FunctionSpec{Setup: "sleep 1000000"}, packed)
	done := make(chan error, 1)
	go func() {
		_, _, err := b.make(t.Context(), rev, packed)
		done <- err
	}()
	testenv.Eventually(t, "the step runs", func() bool { return s.running(t) == 1 })
	s.daemon.Kill()
	failed(t, <-done, faas.Unavailable, "the Docker daemon is away")
	_, _, err := b.make(t.Context(), rev, packed)
	failed(t, err, faas.Unavailable, "the Docker daemon is away")
	s.daemon.Start()
	rev.Spec.Setup = "true"
	b.mustMake(t, rev, packed)
	if s.containers(t) == 0 {
		t.Log("the daemon removed the container by itself")
	}
	now = now.Add(2 * time.Hour)
	if err := b.Tidy(t.Context()); err != nil {
		t.Error(err)
	}
	if n := s.containers(t); n > 0 {
		t.Errorf("%d containers are left", n)
	}
}

// TestDaemonHangs: a build does not outlive its context when the daemon does not answer.
func TestDaemonHangs(t *testing.T) {
	s := newSite(t)
	b := s.builder(t, nil)
	packed := source(t, file("app.txt", "app"))
	s.daemon.Pause()
	defer s.daemon.Resume()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, _, err := b.make(ctx, revision("f", 1, faas.FunctionSpec{}, packed), packed)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

// TestRegistryAway: a push waits for a registry that is unavailable for a short time, and then is Unavailable.
func TestRegistryAway(t *testing.T) {
	s := newSite(t)
	b := s.builder(t, nil)
	packed := source(t, file("app.txt", "app"))
	b.pushWait = 10 * time.Millisecond
	s.registry.Stop()
	_, log, err := b.make(t.Context(), revision("f", 1, faas.FunctionSpec{}, packed), packed)
	failed(t, err, faas.Unavailable, "the registry does not answer")
	if strings.Count(log, "trying again") != pushTries-1 {
		t.Errorf("the log is\n%s", log)
	}
	s.registry.Start()
	b.mustMake(t, revision("f", 1, faas.FunctionSpec{}, packed), packed)
}

func TestLogins(t *testing.T) {
	s := newSite(t)
	private := testenv.PrivateRegistry(t)
	secrets := map[string]string{
		"good":  private.User + ":" + private.Password,
		"file":  `{"auths": {"http://` + private.Addr + `/v2/": {"auth": "ZGF2aXQtdGVzdDpkYXZpdC10ZXN0LXNlY3JldA=="}}}`,
		"wrong": private.User + ":wrong",
		"other": `{"auths": {"other.example": {"username": "u", "password": "p"}}}`,
		"bad":   "nothing",
	}
	b := s.builder(t, func(o *Options) {
		o.Registry, o.RegistryPull, o.RegistryLogin = private.Addr+"/functions", "localhost:30500", secrets["good"]
		o.Secret = func(_ context.Context, name string) (string, error) {
			if secrets[name] == "" {
				return "", faas.Errorf(faas.BuildFailed, "there is no secret %q", name)
			}
			return secrets[name], nil
		}
	})
	packed := source(t, file("app.txt", "app"))
	built, _ := b.mustMake(t, revision("app", 1, faas.FunctionSpec{}, packed), packed)
	if !strings.HasPrefix(built.Image, "localhost:30500/functions/app@sha256:") {
		t.Errorf("the image is %q", built.Image)
	}
	b.tidying.Wait()
	name := private.Addr + "/functions/app:1"
	for _, tag := range s.images(t) {
		if tag != base {
			if _, err := s.docker.ImageRemove(t.Context(), tag, client.ImageRemoveOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	// A function without a login is refused, also while the daemon still has the image that a function with one has
	// pulled.
	for _, c := range []struct{ secret, detail string }{
		{"good", ""},
		{"file", ""},
		{"", "needs a login"},
		{"wrong", "needs a login"},
		{"other", "needs a login"},
		{"bad", "is no login"},
		{"missing", "there is no secret"},
		{"good", ""},
	} {
		for _, spec := range []faas.FunctionSpec{{Image: name}, {BaseImage: name}} {
			spec.RegistrySecret = c.secret
			var source []byte
			if spec.Image == "" {
				source = packed
			}
			_, log, err := b.make(t.Context(), revision("app", 2, spec, source), source)
			if c.detail == "" {
				if err != nil {
					t.Errorf("secret %q: %v\n%s", c.secret, err, log)
				}
				continue
			}
			failed(t, err, faas.BuildFailed, c.detail)
			if strings.Contains(log, private.Password) {
				t.Errorf("the log shows the password:\n%s", log)
			}
		}
	}
}

func TestTLS(t *testing.T) {
	s := newSite(t)
	packed := source(t, file("app.txt", "app"))
	rev := revision("f", 1, faas.FunctionSpec{}, packed)
	s.builder(t, func(o *Options) { o.Host, o.Certs = s.daemon.TLSHost, s.daemon.Certs }).mustMake(t, rev, packed)
	_, _, err := s.builder(t, func(o *Options) { o.Host = s.daemon.TLSHost }).make(t.Context(), rev, packed)
	failed(t, err, faas.Unavailable, "HTTPS")
}
