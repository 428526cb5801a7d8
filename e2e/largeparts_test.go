//go:build all && !race

package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"testing"
	"time"

	"davit/internal/testenv"
)

// TestLargeBeyondOnePut: a result that is too large for one PUT on S3 is stored by a multipart upload, also if the
// gateway that led the invocation has ended by then.
func TestLargeBeyondOnePut(t *testing.T) {
	a, b, _ := twoGateways(t)
	function(t, a, "f", modes["warm"], tool(`truncate -s 5121M out.zip; echo made`)) // a .zip is stored without compression
	trigger(t, a, "t", `{"function": "f", "methods": ["POST"], "path": "/t", "command": ["sh", "tool.sh"], "results": ["out.zip"]}`)
	began := time.Now()
	id := async(t, a, "/t").ID
	testenv.EventuallyWithin(t, wait, "the command runs", func() bool { return find(t, b, id).State == "running" })
	a.Kill()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	r := await(t, b, id)
	if r.State != "succeeded" || r.Result == nil || !r.Result.Stored || r.Result.Size < 5121<<20 {
		t.Fatalf("record: %+v, reason %q", r, r.reason())
	}
	t.Logf("made and stored in %s", time.Since(began).Round(time.Second))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.Calls+"/-/invocations/"+id+"/result", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	sum := sha256.New()
	n, err := io.Copy(sum, res.Body)
	if err != nil || n != r.Result.Size || hex.EncodeToString(sum.Sum(nil)) != r.Result.SHA256 {
		t.Errorf("read %d bytes, %v; the record says %+v", n, err, r.Result)
	}
	t.Logf("and read in %s", time.Since(began).Round(time.Second))
}
