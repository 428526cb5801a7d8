//go:build cluster

package e2e

import (
	"context"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"davit/e2e/rig"
)

const (
	kubeChaosFor     = 40 * time.Second // after which no call is begun
	kubeChaosCallers = 4
	kubeChaosEvery   = 1500 * time.Millisecond // between two killed pods
	kubeChaosAway    = 10 * time.Second        // after the kill of the gateway, in which callers may get no answer
)

// kubeChaos is a load on Davit on a cluster. Meanwhile the test kills warm and standby pods, and one gateway's pod.
type kubeChaos struct {
	fire

	k          *kube
	kept       map[string]string // functions by mode
	down       atomic.Int64      // when the gateway was killed; 0: not yet
	answeredAt sync.Map          // when an invocation was answered
}

// TestKubeChaos: although pods are killed, no invocation runs twice, no accepted one is lost, and every answer agrees
// with its record.
func TestKubeChaos(t *testing.T) {
	k := onKube(t)
	c := &kubeChaos{k: k, kept: map[string]string{}, fire: fire{t: t, seed: *fireSeed, answered: map[string]*rig.Answer{}, ledger: newLedgerAt(t, k.reachedFrom(t))}}
	if c.seed == 0 {
		c.seed = rand.Uint64()
	}
	t.Logf("go test -tags all,cluster ./e2e -run %s -seed %d", t.Name(), c.seed)
	for _, mode := range []string{"standby", "warm"} {
		f := k.function(t, "chaos-"+mode, strings.TrimSuffix(strings.TrimPrefix(modes[mode], "{"), "}")+`, "max_concurrency": 4`, c.ledger.script(`sleep "$1"; wc -c < "$2" > out.txt`+"\n"))
		c.letDial(f)
		k.trigger(t, f, `"methods": ["POST"], "timeout": "20s", "results": ["out.txt"], "command": ["bash", "tool.sh", "{field:s}", "{file:in}"],
			"fields": [{"name": "s", "kind": "number", "default": "0"}, {"name": "in", "kind": "file", "required": true}]`)
		c.kept[mode] = f
	}
	victim := k.replicas(t, 2)[0].Name
	ctx, cancel := context.WithCancel(t.Context())
	var callers, killers sync.WaitGroup
	killers.Go(func() { c.killPods(ctx) })
	end := time.Now().Add(kubeChaosFor)
	for i := range kubeChaosCallers {
		callers.Go(func() {
			dice := rand.New(rand.NewPCG(c.seed, uint64(i)))
			for time.Now().Before(end) {
				c.call(dice, i)
			}
		})
	}
	<-time.After(kubeChaosFor / 3)
	c.down.Store(time.Now().UnixNano())
	c.kill(davitNamespace, victim)
	callers.Wait()
	cancel()
	killers.Wait()
	k.replicas(t, 2)
	c.check()
}

// reachedFrom returns the address of this machine that the node's pods reach.
func (k *kube) reachedFrom(t *testing.T) string {
	t.Helper()
	conn, err := net.Dial("udp", net.JoinHostPort(k.nodeAddress(t), "1"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	host, _, err := net.SplitHostPort(conn.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	return host
}

// letDial allows a function's pods to connect to the ledger.
func (c *kubeChaos) letDial(function string) {
	host, _, err := net.SplitHostPort(c.ledger.listener.Addr().String())
	if err != nil {
		c.t.Fatal(err)
	}
	policies := c.k.clients.NetworkingV1().NetworkPolicies(functionsNamespace)
	made, err := policies.Create(c.t.Context(), &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "davit-e2e-"},
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{"davit.dev/function": function}},
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress},
			Egress:      []networkingv1.NetworkPolicyEgressRule{{To: []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: host + "/32"}}}}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		if err := policies.Delete(context.WithoutCancel(c.t.Context()), made.Name, metav1.DeleteOptions{}); err != nil {
			c.t.Error(err)
		}
	})
}

func (c *kubeChaos) kill(namespace, pod string) {
	now := int64(0)
	if err := c.k.clients.CoreV1().Pods(namespace).Delete(context.WithoutCancel(c.t.Context()), pod, metav1.DeleteOptions{GracePeriodSeconds: &now}); err == nil {
		c.kills.Add(1)
	}
}

// killPods kills a pod of the functions now and then until ctx ends.
func (c *kubeChaos) killPods(ctx context.Context) {
	dice := rand.New(rand.NewPCG(c.seed, 1<<34))
	tick := time.NewTicker(kubeChaosEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		of := "davit.dev/function in (" + c.kept["standby"] + ", " + c.kept["warm"] + ")"
		pods, err := c.k.clients.CoreV1().Pods(functionsNamespace).List(ctx, metav1.ListOptions{LabelSelector: of, FieldSelector: "status.phase=Running"})
		if err == nil && len(pods.Items) > 0 {
			c.kill(functionsNamespace, pods.Items[dice.IntN(len(pods.Items))].Name)
		}
	}
}

// call makes one random call. The Service chooses the gateway.
func (c *kubeChaos) call(dice *rand.Rand, caller int) {
	seconds, size, header := "0", dice.IntN(3000), http.Header{"Connection": {"close"}}
	switch dice.IntN(4) {
	case 0:
		header.Set("Prefer", "respond-async")
	case 1:
		size = 100<<10 + dice.IntN(400<<10)
	case 2:
		seconds = "2"
	}
	body, contentType, err := rig.Form(rig.Part{Name: "s", Data: []byte(seconds)}, rig.Part{Name: "in", Filename: "in", Data: make([]byte, size)})
	if err != nil {
		c.t.Error(err)
		return
	}
	header.Set("Content-Type", contentType)
	a, err := c.k.Call(c.t.Context(), http.MethodPost, "/"+c.kept[[]string{"standby", "warm"}[dice.IntN(2)]], body, header)
	if down := c.down.Load(); err != nil && down > 0 && time.Duration(time.Now().UnixNano()-down) < kubeChaosAway {
		return // the gateway was killed, and the Service may still send calls to it
	}
	c.take(a, err, size, caller)
	if a != nil {
		c.answeredAt.Store(a.Header.Get("Davit-Invocation"), time.Now().UnixNano())
	}
}

// check compares the answers with the records, and the records with the ledger.
func (c *kubeChaos) check() {
	t := c.t
	kept := []string{c.kept["standby"], c.kept["warm"]}
	records := c.records(c.k.Gateway, kept)
	ends := c.ranOnce(records)
	for id, r := range records {
		if r.State == "failed" && r.reason() != "runner_lost" && r.reason() != "store_unavailable" {
			t.Errorf("%s: %+v %s", id, r, r.reason())
		}
	}
	for id, a := range c.answered {
		if c.answeredBeforeKill(id) && a.Status == http.StatusOK && records[id].reason() == "runner_lost" {
			continue // the caller has the result, but the gateway and the runner, which could have recorded it, were both killed
		}
		c.agree(a, id, records)
	}
	t.Logf("%d records %v, %d answers, %d pods killed", len(records), ends, len(c.answered), c.kills.Load())
	if c.kills.Load() < 5 || len(records) < 20 {
		t.Error("no pod was killed, or too few calls were made")
	}
	c.gateways = [2]*rig.Gateway{c.k.Gateway, c.k.Gateway}
	c.serves(kept)
}

// answeredBeforeKill reports whether a call was answered just before the gateway was killed.
func (c *kubeChaos) answeredBeforeKill(id string) bool {
	answered, known := c.answeredAt.Load(id)
	at, isTime := answered.(int64)
	before := time.Duration(c.down.Load() - at)
	return known && isTime && before > 0 && before < 5*time.Second
}
