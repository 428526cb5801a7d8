//go:build cluster

package e2e

import (
	"net/http"
	"strings"
	"testing"
)

// TestKubeFiles: a function from files alone runs in a pod, on the base image.
func TestKubeFiles(t *testing.T) {
	t.Parallel()
	k := onKube(t)
	f := k.function(t, "files", "", map[string]string{"tool.sh": `#!/bin/sh
echo "Hello, $1!" > greeting.txt
. /etc/os-release; echo "on $NAME"
`})
	path := k.trigger(t, f, `"methods": ["GET"], "command": ["sh", "tool.sh", "{field:name}"], "results": ["*.txt"]`)
	a := get(t, k.Gateway, path+"?name=world", nil)
	status(t, a, http.StatusOK)
	if files := unzip(t, a.Body); len(files) != 1 || files["greeting.txt"] != "Hello, world!\n" {
		t.Errorf("the zip holds %q", files)
	}
	id := a.Header.Get("Davit-Invocation")
	if r := await(t, k.Gateway, id); r.State != "succeeded" || r.Start != "job" || r.Attempt != 1 {
		t.Errorf("record: %+v", r)
	}
	if log := get(t, k.Gateway, "/-/invocations/"+id+"/log", nil); !strings.HasPrefix(string(log.Body), "on ") {
		t.Errorf("log: %d %q", log.Status, log.Body)
	}
}
