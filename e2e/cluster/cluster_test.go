package cluster

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"davit/e2e/cluster/images"
	"davit/e2e/cluster/process"
)

// TestCluster starts a cluster, uses it, kills it, starts it again and removes it. It first removes a cluster that runs
// already, because a machine can have only one.
func TestCluster(t *testing.T) {
	options := Options{Progress: t.Output()}
	if err := Down(t.Context(), options); err != nil {
		t.Fatal(err)
	}
	before := machineNow(t)
	t.Cleanup(func() {
		if err := Down(context.Background(), options); err != nil {
			t.Error(err)
		}
	})
	c := up(t, options)
	u := user{c: c}
	t.Run("a job runs and prints", u.runsJob)
	t.Run("names resolve in a pod", u.resolves)
	t.Run("a node port answers on localhost", u.answersOnPort)
	t.Run("root of a user namespace is let into a restricted namespace", u.runsRoot)
	t.Run("the images are there", u.hasImages)
	t.Run("an imported image runs", u.imports)
	t.Run("a claim gets a volume", u.claims)
	t.Run("network policies allow and deny", func(t *testing.T) { testPolicies(t, user{c: c}) })
	t.Run("up again changes nothing", func(t *testing.T) {
		pid := processID(t, c, "kube-apiserver")
		if again := processID(t, up(t, options), "kube-apiserver"); again != pid {
			t.Errorf("the API server was process %d and is %d", pid, again)
		}
	})
	t.Run("up after kills", func(t *testing.T) {
		for _, name := range []string{"etcd", "containerd", "kubelet"} {
			if err := process.Kill(t.Context(), processID(t, c, name)); err != nil {
				t.Fatal(err)
			}
		}
		killedHalfWayUp(t, c)
		user{c: up(t, options)}.runsJob(t)
	})
	t.Run("down leaves nothing", func(t *testing.T) {
		if err := c.Down(t.Context()); err != nil {
			t.Fatal(err)
		}
		if diff := machineNow(t).differs(before); diff != "" {
			t.Errorf("left (+) or missing (-) after Down:\n%s", diff)
		}
	})
	t.Run("down twice", func(t *testing.T) {
		if err := c.Down(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestTheUsersOwnClusterIsLeftAlone(t *testing.T) {
	var said bytes.Buffer
	options := Options{Kubeconfig: "/somewhere/kubeconfig", Progress: &said}
	c, err := Up(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Kubeconfig(); got != options.Kubeconfig {
		t.Errorf("the kubeconfig is %s, want the user's", got)
	}
	if err := c.Import(t.Context(), strings.NewReader("")); err == nil {
		t.Error("an image was imported into a cluster that is not ours")
	}
	if err := c.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	const want = "cluster: using your own cluster of /somewhere/kubeconfig: nothing is started\n" +
		"cluster: using your own cluster of /somewhere/kubeconfig: nothing is removed\n"
	if said.String() != want {
		t.Errorf("said\n%swant\n%s", said.String(), want)
	}
}

func up(t *testing.T, options Options) *Cluster {
	t.Helper()
	c, err := Up(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// killedHalfWayUp starts the cluster with the program, and kills the program once it has started the API server.
func killedHalfWayUp(t *testing.T, c *Cluster) {
	t.Helper()
	before := processID(t, c, "kube-apiserver")
	program := filepath.Join(t.TempDir(), "davit-cluster")
	if output, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./cmd/davit-cluster").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	cmd := exec.CommandContext(t.Context(), program, "up")
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "another API server runs", func() bool {
		now := c.table.PID("kube-apiserver")
		return now != 0 && now != before
	})
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the cluster was up before the program was killed")
	}
}

func processID(t *testing.T, c *Cluster, name string) int {
	t.Helper()
	pid := c.table.PID(name)
	if pid == 0 {
		t.Fatalf("%s does not run", name)
	}
	return pid
}

// user uses a cluster with kubectl.
type user struct {
	c *Cluster
}

func (u user) kubectl(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), u.c.Kubectl(), append([]string{"--kubeconfig=" + u.c.Kubeconfig()}, args...)...)
	output, err := cmd.CombinedOutput()
	return string(output), err
}

func (u user) must(t *testing.T, args ...string) string {
	t.Helper()
	output, err := u.kubectl(t, args...)
	if err != nil {
		t.Fatalf("kubectl %s: %v: %s", strings.Join(args, " "), err, output)
	}
	return output
}

// job runs the Job of the file to its end and returns its log.
func (u user) job(t *testing.T, file, namespace, name string) string {
	t.Helper()
	began := time.Now()
	u.must(t, "apply", "--filename="+file)
	return u.finish(t, namespace, name, began)
}

func (u user) finish(t *testing.T, namespace, name string, began time.Time) string {
	t.Helper()
	if output, err := u.kubectl(t, "wait", "--namespace="+namespace, "--for=condition=Complete", "job/"+name, "--timeout=60s"); err != nil {
		t.Fatalf("job %s: %s\n%s", name, output, u.must(t, "describe", "pods", "--namespace="+namespace, "--selector=job-name="+name))
	}
	t.Logf("job %s took %v with kubectl", name, time.Since(began).Round(time.Millisecond))
	return u.must(t, "logs", "--namespace="+namespace, "--all-containers", "job/"+name)
}

func (u user) runsJob(t *testing.T) {
	if got := u.job(t, "testdata/job.yaml", "default", "hello"); got != "hello from a job\n" {
		t.Errorf("the job printed %q", got)
	}
}

func (u user) resolves(t *testing.T) {
	if got := u.job(t, "testdata/dns.yaml", "default", "dns"); !strings.Contains(got, "Address: 10.96.0.1\n") {
		t.Errorf("the API server's name resolves to\n%s", got)
	}
}

func (u user) answersOnPort(t *testing.T) {
	u.must(t, "apply", "--filename=testdata/web.yaml")
	u.must(t, "wait", "--for=condition=Ready", "pod/web", "--timeout=60s")
	eventually(t, "the port answers", func() bool {
		body, err := get("http://localhost:32123/")
		return err == nil && body == "hello from a port\n"
	})
}

func get(url string) (string, error) {
	client := http.Client{Timeout: 2 * time.Second}
	answer, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return string(body), err
}

func (u user) runsRoot(t *testing.T) {
	got := strings.Fields(u.job(t, "testdata/root.yaml", "strict", "root"))
	// The user's id, the map (inside, outside, count), the owner of a file.
	if len(got) != 5 || got[0] != "0" || got[1] != "0" || got[2] == "0" || got[4] != "0" {
		t.Errorf("the user is %q, want root that is another user outside", got)
	}
}

func (u user) hasImages(t *testing.T) {
	got := u.job(t, "testdata/services.yaml", "default", "services")
	for _, want := range []string{"Redis server v=", "minio version", "registry", "Docker version"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in the programs' versions:\n%s", want, got)
		}
	}
}

func (u user) imports(t *testing.T) {
	layer, err := images.NewCache(t.TempDir(), u.c.log).Layer(t.Context(), "pause", "test",
		images.Files(images.File{Name: "mine", Mode: 0o755, Source: filepath.Join(u.c.tools.pause, "pause")}))
	if err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	if err := images.Write(&archive, images.Image{Ref: "davit.local/mine:1", Layers: []images.Layer{layer}, Run: images.Run{Cmd: []string{"/mine"}}}); err != nil {
		t.Fatal(err)
	}
	if err := u.c.Import(t.Context(), &archive); err != nil {
		t.Fatal(err)
	}
	u.must(t, "run", "mine", "--image=davit.local/mine:1", "--image-pull-policy=Never", "--restart=Never")
	u.must(t, "wait", "--for=condition=Ready", "pod/mine", "--timeout=60s")
}

func (u user) claims(t *testing.T) {
	if got := u.job(t, "testdata/claim.yaml", "default", "claim"); got != "kept\n" {
		t.Errorf("the volume has %q", got)
	}
}

// eventually waits until a condition is true.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	const atMost, pause = 30 * time.Second, 100 * time.Millisecond
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	for deadline := time.Now().Add(atMost); !is(); <-ticker.C {
		if time.Now().After(deadline) {
			t.Fatalf("not so after %v: %s", atMost, what)
		}
	}
}

// filled returns the path of a copy of the file in which words are replaced.
func filled(t *testing.T, file string, words ...string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), filepath.Base(file))
	if err := os.WriteFile(copied, []byte(strings.NewReplacer(words...).Replace(string(text))), 0o600); err != nil {
		t.Fatal(err)
	}
	return copied
}

func (u user) address(t *testing.T, namespace, pod string) string {
	t.Helper()
	return u.must(t, "get", "pod", pod, "--namespace="+namespace, "--output=jsonpath={.status.podIP}")
}
