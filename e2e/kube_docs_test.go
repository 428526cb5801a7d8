//go:build cluster

package e2e

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestKubeDocs types the steps of README and docs/kubernetes.md to a cluster on this machine, exactly as written, in a
// fresh clone. The steps find the cluster that runs already.
func TestKubeDocs(t *testing.T) {
	k := onKube(t)
	if os.Getenv("DAVIT_E2E_KUBECONFIG") != "" {
		t.Fatal("the steps are for the cluster on this machine, and DAVIT_E2E_KUBECONFIG names another one: leave this test out " +
			"(make cluster-e2e does, with -skip), or unset the variable and run make cluster-up")
	}
	clone := filepath.Join(t.TempDir(), "davit")
	tree, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	// With its history, so that the build gives the same images, and the gateways need not be replaced.
	if out, err := exec.CommandContext(t.Context(), "git", "clone", "--quiet", "file://"+tree, clone).CombinedOutput(); err != nil {
		t.Fatalf("clone the repository: %v: %s", err, out)
	}
	copyTrackedTo(t, clone)
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	read := func(name, heading string) []string {
		text, err := os.ReadFile(filepath.Join(clone, name))
		if err != nil {
			t.Fatal(err)
		}
		return blocks(section(t, text, heading), "sh")
	}
	readme, page := read("README.md", "## On Kubernetes"), read("docs/kubernetes.md", "## On a cluster of your own machine")
	if len(readme) != 2 || len(page) != 3 || readme[0] != page[0] || readme[1] != page[1] {
		t.Fatalf("README and docs/kubernetes.md do not begin with the same steps: %q, %q", readme, page)
	}
	t.Cleanup(func() { k.remove(t, "hello") })
	shell := newTerminal(t, clone, "XDG_CACHE_HOME="+cache)
	shell.typed(readme[1] + page[2] + "echo; echo exit code $?\n")
	shell.await("exit code 0")
	output := shell.out.String()
	for _, line := range []string{"KUBECONFIG=" + os.Getenv("KUBECONFIG"), "Hello, world!"} {
		if !strings.Contains(output, line+"\n") {
			t.Errorf("the shell did not print %q:\n%s", line, shell.all())
		}
	}
	calls := list(t, k.Gateway, "hello")
	if len(calls) == 0 {
		t.Fatal("there are no calls of hello")
	}
	if r := await(t, k.Gateway, calls[0].ID); r.State != "succeeded" { // the other gateway may know of its end a moment later
		t.Errorf("the call of hello: %+v", r)
	}
	status(t, get(t, k.Gateway, "/hello/again", nil), http.StatusOK)
}
