//go:build cluster

package docker

import (
	"slices"
	"strings"
	"testing"
	"time"

	"davit/internal/faas"
)

func TestBuild(t *testing.T) {
	s := newSite(t)
	s.daemon.Import("user:1", "USER 1000:1000", "ENV GREETING=hello")
	s.daemon.Import("app:1", `ENTRYPOINT ["/bin/echo","from"]`, `CMD ["the","image"]`, "WORKDIR /srv/app", "USER 1000", "ENV GREETING=hello")
	b := s.builder(t, nil)
	packed := source(t, entry{name: "run.sh", content: "#!/bin/sh\necho ran\n", mode: 0o755}, file("data/in.txt", "in"), entry{name: "link", link: "data/in.txt"})

	t.Run("source", func(t *testing.T) {
		began := time.Now()
		built, log := b.mustMake(t, revision("plain", 1, faas.FunctionSpec{}, packed), packed)
		t.Logf("built and pushed in %v\n%s", time.Since(began), log)
		image := s.pull(t, built)
		want := "/function\n755 0:0 /davit/runner\n755 0:0 /function\n755 0:0 data\n644 0:0 data/in.txt\n777 0:0 link\n755 0:0 run.sh\nin"
		if got := s.sh(t, image, "pwd; stat -c '%a %u:%g %n' /davit/runner /function data data/in.txt link run.sh; cat link"); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
		if len(built.Command) > 0 {
			t.Errorf("a source brings the command %q", built.Command)
		}
	})
	t.Run("the runner is the entry point", func(t *testing.T) {
		built, _ := b.mustMake(t, revision("entry", 1, faas.FunctionSpec{}, packed), packed)
		out, code := s.start(t, s.pull(t, built), nil, "--version")
		if code != 0 || strings.Contains(out, "usage") || out == "" {
			t.Errorf("got %d, %q", code, out)
		}
	})
	t.Run("setup", func(t *testing.T) {
		const setup = "id -u >who && chmod +x data/in.txt && echo \"it's \\\"$(pwd)\\\"\" $GREETING\necho line two # \\"
		built, log := b.mustMake(t, revision("setup", 1, faas.FunctionSpec{BaseImage: "user:1", Setup: setup}, packed), packed)
		if !strings.Contains(log, "it's \"/function\" hello\nline two\n") {
			t.Errorf("the log lacks what setup wrote:\n%s", log)
		}
		if got := s.sh(t, s.pull(t, built), "cat who; id -u; stat -c %a data/in.txt; echo $GREETING"); got != "0\n1000\n755\nhello\n" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("its own Dockerfile", func(t *testing.T) {
		own := source(t, file("Dockerfile", `# syntax comment
ARG BASE=base:1
FROM ${BASE} AS tools
RUN echo built >/made
FROM ${BASE}
COPY --from=tools /made /srv/made
COPY . /srv/
WORKDIR /srv
ENTRYPOINT ["cat"]
CMD ["made", "app.txt"]
`), file("app.txt", "app"), file("z.txt", ""), file("secret.txt", ""), file(".dockerignore", "# none\n*.txt\n!z.txt\n!app.*\n"))
		built, log := b.mustMake(t, revision("own", 1, faas.FunctionSpec{Setup: "echo after >>made"}, own), own)
		if !slices.Equal(built.Command, faas.Command{"cat", "made", "app.txt"}) {
			t.Errorf("the command is %q", built.Command)
		}
		if got := s.sh(t, s.pull(t, built), "pwd; cat made app.txt; ls; ls /function"); got != "/srv\nbuilt\nafter\nappDockerfile\napp.txt\nmade\nz.txt\nDockerfile\napp.txt\nsecret.txt\nz.txt\n" {
			t.Errorf("got %q\n%s", got, log)
		}
	})
	t.Run("a Dockerfile without a working directory", func(t *testing.T) {
		own := source(t, file("Dockerfile", "FROM base:1\nRUN echo built >/made\n"), file("app.txt", "app"))
		built, _ := b.mustMake(t, revision("own", 2, faas.FunctionSpec{}, own), own)
		if got := s.sh(t, s.pull(t, built), "pwd; cat /made app.txt"); got != "/function\nbuilt\napp" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("image", func(t *testing.T) {
		built, log := b.mustMake(t, revision("image", 1, faas.FunctionSpec{Image: "app:1"}, nil), nil)
		if !slices.Equal(built.Command, faas.Command{"/bin/echo", "from", "the", "image"}) {
			t.Errorf("the command is %q\n%s", built.Command, log)
		}
		image := s.pull(t, built)
		if got := s.sh(t, image, "pwd; id -u; echo $GREETING"); got != "/srv/app\n1000\nhello\n" {
			t.Errorf("got %q", got)
		}
		found, err := s.docker.ImageInspect(t.Context(), image)
		if err != nil {
			t.Fatal(err)
		}
		if c := found.Config; !slices.Equal(c.Entrypoint, []string{"/davit/runner"}) || len(c.Cmd) > 0 {
			t.Errorf("the image is configured as %+v", c)
		}
	})
	t.Run("the same again", func(t *testing.T) {
		again, _ := b.mustMake(t, revision("plain", 2, faas.FunctionSpec{}, packed), packed)
		if got := s.sh(t, s.pull(t, again), "./run.sh"); got != "ran\n" {
			t.Errorf("got %q", got)
		}
	})
}
