package docker

import (
	"testing"

	"davit/internal/faas"
)

func TestWrapper(t *testing.T) {
	w := wrapper{base: "sha256:1", source: true, setup: "echo '\"$X\"' >a\n\\", config: config{User: "app", StopSignal: "SIGQUIT", Cmd: []string{"x"}}}
	want := `FROM sha256:1
COPY davit/ /davit/
COPY source/ /function/
WORKDIR /function
USER 0:0
RUN ["/bin/sh","-c","echo '\"$X\"' >a\n\\"]
USER app
STOPSIGNAL SIGTERM
ENTRYPOINT ["/davit/runner"]
`
	if got, err := w.text(); err != nil || got != want {
		t.Errorf("got\n%s%v", got, err)
	}
	if _, err := (&wrapper{config: config{User: "a\nRUN b"}}).text(); faas.KindOf(err) != faas.BuildFailed {
		t.Errorf("a user of two lines: got %v", err)
	}
}
