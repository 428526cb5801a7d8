package e2e

import (
	"bufio"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"

	"davit/e2e/rig"
	"davit/internal/testenv"
)

// redisURL returns the setting with which gateways use the server.
func redisURL(r *testenv.RedisServer) string { return "DAVIT_REDIS_URL=redis://" + r.Addr }

// s3 returns the settings with which gateways use the store.
func s3(m *testenv.S3Server) []string {
	return []string{
		"DAVIT_S3_ENDPOINT=" + m.Endpoint, "DAVIT_S3_ACCESS_KEY=" + m.AccessKey, "DAVIT_S3_SECRET_KEY=" + m.SecretKey,
		"DAVIT_S3_BUCKET=davit", "DAVIT_S3_REGION=" + m.Region,
	}
}

// twoGateways starts two gateways on one real Redis and one real MinIO.
func twoGateways(t *testing.T, env ...string) (a, b *rig.Gateway, store *testenv.S3Server) {
	t.Helper()
	store = testenv.S3(t)
	a, b, _ = gatewaysOn(t, store, env...)
	return a, b, store
}

// gateways starts two gateways on one Redis and one store, and returns their world.
func gateways(t *testing.T, env ...string) (a, b *rig.Gateway, w *world) {
	t.Helper()
	return gatewaysOn(t, testenv.S3(t), env...)
}

func gatewaysOn(t *testing.T, store *testenv.S3Server, env ...string) (a, b *rig.Gateway, w *world) {
	t.Helper()
	w = newWorld(t, append(append(s3(store), redisURL(testenv.StartRedis(t))), env...)...)
	return w.start("a"), w.start("b"), w
}

// freePort returns a free address that stays usable when the gateway restarts.
func freePort(t *testing.T) string {
	t.Helper()
	address, err := testenv.FreeAddress(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// async calls a trigger with respond-async and returns the record of the 202.
func async(t *testing.T, g *rig.Gateway, path string, parts ...rig.Part) record {
	t.Helper()
	a := post(t, g, path, http.Header{"Prefer": {"respond-async"}}, parts...)
	status(t, a, http.StatusAccepted)
	return decode[record](t, a.Body)
}

// find reads an invocation's record.
func find(t *testing.T, g *rig.Gateway, id string) record {
	t.Helper()
	a := admin(t, g, http.MethodGet, "/v1/invocations/"+id, "")
	status(t, a, http.StatusOK)
	return decode[record](t, a.Body)
}

// list reads the newest records of a function.
func list(t *testing.T, g *rig.Gateway, function string) []record {
	t.Helper()
	a := admin(t, g, http.MethodGet, "/v1/invocations?limit=200&function="+function, "")
	status(t, a, http.StatusOK)
	return decode[struct {
		Items []record `json:"items"`
	}](t, a.Body).Items
}

// ledger counts runs outside Davit: each command sends it the id of its invocation.
type ledger struct {
	listener net.Listener
	done     sync.WaitGroup

	mu   sync.Mutex
	runs map[string]int
	open map[net.Conn]bool
}

func newLedger(t *testing.T) *ledger {
	t.Helper()
	return newLedgerAt(t, "127.0.0.1")
}

// newLedgerAt starts a ledger on an address of this machine.
func newLedgerAt(t *testing.T, host string) *ledger {
	t.Helper()
	l := &ledger{runs: map[string]int{}, open: map[net.Conn]bool{}}
	var err error
	if l.listener, err = net.Listen("tcp", net.JoinHostPort(host, "0")); err != nil {
		t.Fatal(err)
	}
	l.done.Go(l.serve)
	t.Cleanup(func() {
		_ = l.listener.Close()
		l.mu.Lock()
		for c := range l.open {
			_ = c.Close()
		}
		l.mu.Unlock()
		l.done.Wait()
	})
	return l
}

func (l *ledger) serve() {
	for {
		c, err := l.listener.Accept()
		if err != nil {
			return
		}
		l.mu.Lock()
		l.open[c] = true
		l.mu.Unlock()
		l.done.Go(func() { l.take(c) })
	}
}

func (l *ledger) take(c net.Conn) {
	line, err := bufio.NewReader(c).ReadString('\n')
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, c)
	if err == nil {
		l.runs[line[:len(line)-1]]++
		_, _ = fmt.Fprintln(c, "noted")
	}
	_ = c.Close()
}

// script returns a bash script that sends the invocation's id to the ledger, waits for its answer, and goes on with
// rest.
func (l *ledger) script(rest string) map[string]string {
	host, port, _ := net.SplitHostPort(l.listener.Addr().String())
	return map[string]string{"tool.sh": "#!/bin/bash\nexec 3<>/dev/tcp/" + host + "/" + port +
		"\necho \"$DAVIT_INVOCATION_ID\" >&3; read -r noted <&3; exec 3>&-\n[ \"$noted\" = noted ] || exit 99\n" + rest}
}

// total returns how many commands ran.
func (l *ledger) total() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, runs := range l.runs {
		n += runs
	}
	return n
}

func (l *ledger) count(id string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.runs[id]
}

// ids returns the invocations that ran.
func (l *ledger) ids() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Keys(l.runs))
}

// once fails the test unless the invocation ran exactly once.
func (l *ledger) once(t *testing.T, id string) {
	t.Helper()
	if n := l.count(id); n != 1 {
		t.Errorf("invocation %s ran %d times, want once", id, n)
	}
}
