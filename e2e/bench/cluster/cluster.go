package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	batchclient "k8s.io/client-go/kubernetes/typed/batch/v1"
	coreclient "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"davit/e2e/rig"
)

// userAgent is the name of this program at the API server.
const userAgent = "davit-bench"

// pollEvery is the pause between two reads of a state that this program waits for.
const pollEvery = 20 * time.Millisecond

// pause waits for pollEvery, or returns why ctx ended.
func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(pollEvery):
		return nil
	}
}

// reachedFrom returns the address of this machine from which packets to host come. It sends none.
func reachedFrom(host string) (string, error) {
	conn, err := net.Dial("udp", net.JoinHostPort(host, "1")) //nolint:noctx // nothing is sent
	if err != nil {
		return "", err
	}
	defer conn.Close()
	address, ok := conn.LocalAddr().(*net.UDPAddr)
	if !ok || address.IP.IsLoopback() {
		return "", errors.New("which address of this machine do pods reach? Say it with -host")
	}
	return address.IP.String(), nil
}

// cluster is Davit on a cluster, with the clients of both.
type cluster struct {
	davit *rig.Gateway
	core  coreclient.CoreV1Interface
	batch batchclient.BatchV1Interface
	node  string // an address of a node, at which NodePorts answer
	host  string // an address of this machine that pods reach
}

// findCluster finds the cluster by the kubeconfig, and Davit by its Services.
func findCluster(ctx context.Context, o *options) (*cluster, error) {
	p := &cluster{davit: &rig.Gateway{}, host: o.host}
	if err := p.connect(o.kubeconfig); err != nil {
		return nil, err
	}
	nodes, err := p.core.Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("ask the cluster for its nodes (is KUBECONFIG set? `make cluster-up` has one): %w", err)
	}
	if p.node, err = p.findNode(ctx, o.namespace, nodes.Items); err != nil {
		return nil, err
	}
	secret, err := p.core.Secrets(o.namespace).Get(ctx, "davit-admin", metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("read the admin token: %w", err)
	}
	p.davit.Token = strings.TrimSpace(string(secret.Data["token"]))
	if p.host == "" {
		p.host, err = reachedFrom(p.node)
	}
	return p, err
}

func (p *cluster) connect(kubeconfig string) error {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	if kubeconfig != "" {
		rules = &clientcmd.ClientConfigLoadingRules{Precedence: filepath.SplitList(kubeconfig)}
	}
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if err != nil {
		return fmt.Errorf("read the kubeconfig: %w", err)
	}
	// The same limits as a gateway's.
	config.QPS, config.Burst, config.UserAgent = 500, 1000, userAgent
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return err
	}
	core, err := coreclient.NewForConfigAndClient(config, client)
	if err != nil {
		return err
	}
	batch, err := batchclient.NewForConfigAndClient(config, client)
	p.core, p.batch = core, batch
	return err
}

// findNode finds an address of the cluster at which the console answers, and records it.
func (p *cluster) findNode(ctx context.Context, namespace string, nodes []corev1.Node) (string, error) {
	ports := map[string]string{}
	for _, name := range []string{"davit-console", "davit-calls"} {
		service, err := p.core.Services(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return "", fmt.Errorf("find Davit on the cluster (make deploy brings it there): %w", err)
		}
		ports[name] = strconv.Itoa(int(service.Spec.Ports[0].NodePort))
	}
	hosts := []string{}
	for i := range nodes {
		for _, a := range nodes[i].Status.Addresses {
			if a.Type == corev1.NodeInternalIP || a.Type == corev1.NodeExternalIP {
				hosts = append(hosts, a.Address)
			}
		}
	}
	hosts = append(hosts, "127.0.0.1")
	for _, host := range hosts {
		p.davit.Console, p.davit.Calls = net.JoinHostPort(host, ports["davit-console"]), net.JoinHostPort(host, ports["davit-calls"])
		if p.answers(ctx) {
			return host, nil
		}
	}
	return "", fmt.Errorf("the NodePorts of Davit answer at none of %v from here", hosts)
}

func (p *cluster) answers(ctx context.Context) bool {
	const soon = 3 * time.Second
	ctx, cancel := context.WithTimeout(ctx, soon)
	defer cancel()
	a, err := p.davit.Admin(ctx, http.MethodGet, "/healthz", "", nil)
	return err == nil && a.Status == http.StatusOK
}

// freeCPU returns how much of the nodes' CPU no pod has requested, in thousandths of a core.
func (p *cluster) freeCPU(ctx context.Context) (int64, error) {
	nodes, err := p.core.Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return 0, err
	}
	pods, err := p.core.Pods("").List(ctx, metav1.ListOptions{FieldSelector: "status.phase!=Succeeded,status.phase!=Failed"})
	if err != nil {
		return 0, err
	}
	free := int64(0)
	for i := range nodes.Items {
		free += nodes.Items[i].Status.Allocatable.Cpu().MilliValue()
	}
	for i := range pods.Items {
		for j := range pods.Items[i].Spec.Containers {
			free -= pods.Items[i].Spec.Containers[j].Resources.Requests.Cpu().MilliValue()
		}
	}
	return free, nil
}
