//go:build all && !race

package e2e

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
	"math/rand/v2"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"davit/e2e/rig"
	"davit/internal/testenv"
)

const (
	large   = 1 << 30
	mostRSS = 64 << 20 // peak memory of the gateway, and of each runner
)

// random streams bytes that do not compress, and adds them to the checksum.
func random(sum hash.Hash) io.Reader {
	return io.TeeReader(io.LimitReader(rand.NewChaCha8([32]byte{1}), large), sum)
}

// TestLarge sends 1 GiB and gets 1 GiB back, for each kind of body and result.
func TestLarge(t *testing.T) {
	for _, c := range []struct {
		name, spec, response string
		form                 bool
		prefer               string
	}{
		{name: "raw body and file, warm", spec: modes["warm"], response: "file"},
		{name: "form and zip, job", spec: modes["job"], response: "zip", form: true},
		{name: "accepted, fetched by id", spec: modes["warm"], response: "zip", form: true, prefer: "respond-async"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newWorld(t, "DAVIT_LOG_LEVEL=info").start("data")
			function(t, g, "f", c.spec, tool(`mv "$1" out.bin`))
			argument := "{body}"
			if c.form {
				argument = "{file:in}"
			}
			trigger(t, g, "t", `{"function": "f", "methods": ["POST"], "path": "/t", "command": ["sh", "tool.sh", "`+argument+`"],
				"results": ["out.bin"], "response": "`+c.response+`", "wait": "10m", "max_body": "2Gi"}`)
			peak := watchMemory(g.Process.Pid)
			sent := sha256.New()
			body, contentType := random(sent), "application/octet-stream"
			if c.form {
				body, contentType = largeForm(body)
			}
			began := time.Now()
			path, id := exchange(t, g, "/t", body, http.Header{"Content-Type": {contentType}, "Prefer": {c.prefer}})
			if c.prefer != "" {
				if r := await(t, g, id); r.State != "succeeded" {
					t.Fatalf("record: %+v, reason %q", r, r.reason())
				}
				path, _ = exchange(t, g, "/-/invocations/"+id+"/result", nil, nil)
			}
			took := time.Since(began)
			await(t, g, id)
			testenv.EventuallyWithin(t, wait, "input and result are in the store", func() bool {
				r := find(t, g, id)
				return r.Result != nil && r.Result.Stored && r.Input != nil && r.Input.Stored && r.Input.Size >= large
			})
			for process, bytes := range peak() {
				t.Logf("%s: peak RSS %.1f MiB", process, float64(bytes)/(1<<20))
				if bytes > mostRSS {
					t.Errorf("%s used %d bytes of memory, want at most %d", process, bytes, mostRSS)
				}
			}
			t.Logf("1 GiB there and back in %s", took.Round(10*time.Millisecond))
			if got, want := sumOf(t, path, c.response == "zip"), hex.EncodeToString(sent.Sum(nil)); got != want {
				t.Errorf("the checksum of the answer is %s, want %s", got, want)
			}
		})
	}
}

// largeForm returns a form with a stream as its file, without reading the stream into memory.
func largeForm(r io.Reader) (io.Reader, string) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	_, _ = w.CreateFormFile("in", "in.bin") // a buffer never fails
	head := b.String()
	_ = w.Close()
	return io.MultiReader(strings.NewReader(head), r, strings.NewReader(b.String()[len(head):])), w.FormDataContentType()
}

// exchange sends a stream and writes the answer to a file.
func exchange(t *testing.T, g *rig.Gateway, path string, body io.Reader, header http.Header) (file, id string) {
	t.Helper()
	method := http.MethodGet
	if body != nil {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+g.Calls+path, body)
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	f, err := os.Create(filepath.Join(t.TempDir(), "answer"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if _, err := io.Copy(f, res.Body); err != nil {
		t.Fatalf("read the answer: %v", err)
	}
	if res.StatusCode/100 != 2 {
		b, _ := os.ReadFile(f.Name())
		t.Fatalf("status %d: %.500s", res.StatusCode, b)
	}
	return f.Name(), res.Header.Get("Davit-Invocation")
}

// sumOf returns the SHA-256 of a file, or of the one file in a zip.
func sumOf(t *testing.T, path string, zipped bool) string {
	t.Helper()
	var r io.ReadCloser
	var err error
	if zipped {
		z, zerr := zip.OpenReader(path)
		if zerr != nil {
			t.Fatal(zerr)
		}
		defer func() { _ = z.Close() }()
		r, err = z.Open("out.bin")
	} else {
		r, err = os.Open(path)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	sum := sha256.New()
	if _, err := io.Copy(sum, r); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// watchMemory measures the peak memory of a gateway and its runners until peak is called.
func watchMemory(gateway int) (peak func() map[string]int64) {
	peaks := map[string]int64{}
	_ = os.WriteFile("/proc/"+strconv.Itoa(gateway)+"/clear_refs", []byte("5"), 0o600) // resets the peak; where that fails, the peak since the start counts
	look := func() {
		note := func(name string, pid int) {
			if hwm := statusKiB(pid, "VmHWM:") << 10; hwm > 0 {
				peaks[name] = max(peaks[name], hwm)
			}
		}
		note("gateway", gateway)
		for _, pid := range processes("davit-runner") {
			if statusKiB(pid, "PPid:") == int64(gateway) {
				note("runner "+strconv.Itoa(pid), pid)
			}
		}
	}
	stop := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			look()
			select {
			case <-stop:
				return
			case <-tick.C:
			}
		}
	})
	return func() map[string]int64 {
		close(stop)
		done.Wait()
		look()
		return peaks
	}
}
