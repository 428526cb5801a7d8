package policy

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"sigs.k8s.io/knftables"
)

func TestTheHookAnswersOnceThePoliciesAreInForce(t *testing.T) {
	pod := &core.Pod{ObjectMeta: meta.ObjectMeta{Namespace: "a", Name: "new"}}
	policy := &networking.NetworkPolicy{ObjectMeta: meta.ObjectMeta{Namespace: "a", Name: "deny"}}
	client := fake.NewClientset(pod, policy)
	filter := knftables.NewFake(knftables.IPv4Family, "t")
	enforcer := NewEnforcer(client, filter, slog.New(slog.DiscardHandler))
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- enforcer.Run(ctx) }()
	server := httptest.NewServer(Hook(enforcer))
	defer server.Close()

	body := `{"namespace": "a", "name": "new", "address": "10.0.0.7"}`
	answer, err := http.Post(server.URL, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusNoContent {
		t.Errorf("the hook answers %s", answer.Status)
	}
	if got := filter.Dump(); !strings.Contains(got, "add rule ip t ingress_10.0.0.7 drop") {
		t.Errorf("the new pod is not isolated:\n%s", got)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestTheHookRefusesAPodThatIsNoneOfTheClusters(t *testing.T) {
	enforcer := NewEnforcer(fake.NewClientset(), knftables.NewFake(knftables.IPv4Family, "t"), slog.New(slog.DiscardHandler))
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- enforcer.Run(ctx) }()
	asking, give := context.WithCancel(t.Context())
	give()
	if err := enforcer.Admit(asking, "a", "ghost", netip.MustParseAddr("10.0.0.7")); err == nil {
		t.Error("a pod that the cluster does not have was admitted")
	}
	stop()
	if err := <-ended; err != nil && ctx.Err() == nil {
		t.Error(err)
	}
}
