//go:build all

package e2e

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"davit/e2e/rig"
	"davit/internal/testenv"
)

var soakFor = flag.Duration("soak", 30*time.Second, "how long TestSoak keeps up its load")

const soakCallers = 12

// soak is a mixed load on two gateways. It measures their resources when the load pauses.
type soak struct {
	t        *testing.T
	w        *world
	redis    *testenv.RedisServer
	store    *testenv.S3Server
	gateways [2]*rig.Gateway
	answers
}

// answers counts a load's answers by status; 0: none.
type answers struct {
	sync.Mutex

	by map[int]int
}

// note counts an answer.
func (a *answers) note(status int) {
	a.Lock()
	defer a.Unlock()
	if a.by == nil {
		a.by = map[int]int{}
	}
	a.by[status]++
}

// check logs the counts, and fails the test if too few calls succeeded.
func (a *answers) check(t *testing.T) {
	t.Helper()
	calls := 0
	for _, n := range a.by {
		calls += n
	}
	t.Logf("%d calls in %s, by status: %v", calls, *soakFor, a.by)
	if a.by[http.StatusOK] < 20 || a.by[http.StatusAccepted] < 20 {
		t.Error("too few calls succeeded for a meaningful result")
	}
}

// TestSoak: after a long mixed load the gateways use no more memory, files and other resources than after its first
// quarter.
func TestSoak(t *testing.T) {
	s := &soak{t: t, redis: testenv.StartRedis(t), store: testenv.MinIO(t)}
	s.w = newWorld(t, append(s3(s.store), redisURL(s.redis), "DAVIT_LOG_LEVEL=warn")...)
	s.gateways = [2]*rig.Gateway{s.w.start("a"), s.w.start("b")}
	for mode, spec := range map[string]string{
		"job":     `{"mode": "job", `,
		"standby": `{"standby": {"min": 2, "max": 4}, `,
		"warm":    `{"mode": "warm", "warm": {"min": 1, "max": 3, "concurrency": 2, "idle": "2s"}, `,
	} {
		function(t, s.gateways[0], mode, spec+`"max_concurrency": 4, "max_queue": {"calls": 30, "wait": "5s"}}`, tool(`sleep "$1"; head -c 20000 /dev/urandom; exit "$2"`))
		trigger(t, s.gateways[0], mode, `{"function": "`+mode+`", "methods": ["POST"], "path": "/`+mode+`", "command": ["sh", "tool.sh", "{field:s}", "{field:code}"],
			"timeout": "1s", "wait": "500ms", "max_body": "4Ki", "on_disconnect": "cancel", "retention": "1s"}`)
	}
	s.soak(t, soakCallers, func(n int) int {
		return mixedCall(t, s.gateways[n%2], "/"+mixedModes[n%len(mixedModes)], n)
	}, s.rest)
}

// soak runs a load, and compares the measurements after its first quarter with those at its end. rest waits until
// nothing is left of the calls, and measures.
func (a *answers) soak(t *testing.T, callers int, call func(n int) (status int), rest func() map[string]float64) {
	t.Helper()
	load := func(long time.Duration) {
		end := time.Now().Add(long)
		var group sync.WaitGroup
		for i := range callers {
			group.Go(func() {
				for n := i; time.Now().Before(end) && !t.Failed(); n += callers + 1 {
					a.note(call(n))
				}
			})
		}
		group.Wait()
		rig.CloseIdle() // because gateways keep callers' idle connections for minutes
	}
	load(*soakFor / 4)
	before := rest()
	load(*soakFor - *soakFor/4)
	after := rest()
	a.check(t)
	compare(t, before, after)
}

// compare fails the test for each measurement that has grown more than slack allows.
func compare(t *testing.T, before, after map[string]float64) {
	t.Helper()
	for _, what := range slices.Sorted(maps.Keys(after)) {
		b, a, most := before[what], after[what], slack(what, before[what])
		t.Logf("%-28s %10.0f before, %10.0f after, at most %.0f", what, b, a, most)
		if a > most {
			t.Errorf("%s grew from %g to %g, more than %g", what, b, a, most)
		}
	}
}

// slack returns the largest allowed value of a measurement, given the one before.
func slack(what string, before float64) float64 {
	switch {
	case strings.HasSuffix(what, "live heap KiB"):
		return before*1.2 + 4<<10
	case strings.HasSuffix(what, "KiB"):
		return before*1.3 + 24<<10
	case strings.HasSuffix(what, "goroutines"), strings.HasSuffix(what, "descriptors"):
		return before + 25 // for connections that are kept for a while
	case what == "folders and files", what == "keys in Redis":
		return before + 8 // for short-lived ones
	}
	return before
}

// rest waits until nothing is left of the calls, and measures.
func (s *soak) rest() map[string]float64 {
	s.t.Helper()
	testenv.EventuallyWithin(s.t, 2*wait, "no call is in flight", func() bool {
		inFlight := 0.0
		for _, g := range s.gateways {
			_, _, n := balance(s.t, g)
			inFlight += n
		}
		return inFlight == 0
	})
	var kept [3]int
	defer func() {
		if s.t.Failed() {
			s.t.Logf("jobs, standby and warm runners: %v", kept)
		}
	}()
	testenv.EventuallyWithin(s.t, 2*wait, "there are no runners but the kept ones", func() bool {
		kept = [3]int{s.w.kept("job"), s.w.kept("standby"), s.w.kept("warm")}
		return kept == [3]int{0, 2, 1}
	})
	testenv.EventuallyWithin(s.t, 2*wait, "objects and records of the calls are removed", func() bool {
		return s.objects("invocations/") == 0 && s.keys("invocation:*") == 0
	})
	held := map[string]float64{
		"runners": float64(s.w.kept("job") + s.w.kept("standby") + s.w.kept("warm")),
		"objects": float64(s.objects("")), "keys in Redis": float64(s.keys("*")), "folders and files": float64(s.files()),
	}
	for i, g := range s.gateways {
		maps.Copy(held, gatewayUse(s.t, i, admin(s.t, g, http.MethodGet, "/metrics", "").Body))
	}
	for _, pid := range s.w.runners() {
		held["runners' resident KiB"] += float64(statusKiB(pid, "VmRSS:"))
	}
	return held
}

// gatewayUse returns measurements from a gateway's own metrics.
func gatewayUse(t *testing.T, i int, metrics []byte) map[string]float64 {
	t.Helper()
	headroom := 1 + sumMetric(t, metrics, "go_gc_gogc_percent")/100
	name := fmt.Sprintf("gateway %d ", i)
	// How many connections the pools keep depends on the last burst, and is bounded.
	pooled := sumMetric(t, metrics, "davit_store_connections")
	return map[string]float64{
		name + "goroutines":    sumMetric(t, metrics, "go_goroutines"),
		name + "descriptors":   sumMetric(t, metrics, "process_open_fds") - pooled,
		name + "resident KiB":  sumMetric(t, metrics, "process_resident_memory_bytes") / 1024,
		name + "live heap KiB": sumMetric(t, metrics, "go_memstats_next_gc_bytes") / headroom / 1024, // after the last collection
	}
}

// objects counts the store's objects.
func (s *soak) objects(prefix string) (n int) {
	c, err := minio.New(s.store.Endpoint, &minio.Options{Creds: credentials.NewStaticV4(s.store.AccessKey, s.store.SecretKey, ""), Region: s.store.Region})
	if err != nil {
		s.t.Fatal(err)
	}
	return countObjects(s.t, c, "davit", prefix)
}

// countObjects counts a bucket's objects.
func countObjects(t *testing.T, c *minio.Client, bucket, prefix string) (n int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for o := range c.ListObjects(ctx, bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true}) {
		if o.Err != nil {
			t.Fatal(o.Err)
		}
		n++
	}
	return n
}

// keys counts the keys in Redis that match a pattern below Davit's prefix.
func (s *soak) keys(pattern string) int {
	c, err := new(net.Dialer).DialContext(s.t.Context(), "tcp", s.redis.Addr)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_, _ = fmt.Fprintf(c, "KEYS davit:%s\r\n", pattern)
	head, err := bufio.NewReader(c).ReadString('\n')
	n, bad := strconv.Atoi(strings.TrimPrefix(strings.TrimSpace(head), "*"))
	if err != nil || bad != nil {
		s.t.Fatalf("KEYS %s: %q, %v", pattern, head, err)
	}
	return n
}

// files counts the files and folders in the gateways' folders.
func (s *soak) files() (n int) {
	_ = filepath.WalkDir(s.w.dir, func(string, os.DirEntry, error) error {
		n++
		return nil
	})
	return n
}
