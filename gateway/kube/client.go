package kube

import (
	"errors"
	"fmt"
	"path/filepath"

	batchv1 "k8s.io/client-go/kubernetes/typed/batch/v1"
	corev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// The limits of a gateway's requests to the API server. They are high because a burst of calls creates a burst of Jobs,
// and the API server limits its clients itself.
const (
	queriesPerSecond = 500
	queryBurst       = 1000
)

// Clients are the API clients of one cluster.
type Clients struct {
	Batch batchv1.BatchV1Interface
	Core  corev1.CoreV1Interface
}

// Connect returns clients for the cluster that kubeconfig names: one file, or a list of files as in KUBECONFIG. If
// kubeconfig is "", the clients are for the cluster that this process runs in. Connect sends no request to the cluster.
func Connect(kubeconfig string) (*Clients, error) {
	config, err := access(kubeconfig)
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = queriesPerSecond, queryBurst
	config.UserAgent = managedBy
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("make a client for %s: %w", config.Host, err)
	}
	c := &Clients{}
	if c.Batch, err = batchv1.NewForConfigAndClient(config, client); err != nil {
		return nil, fmt.Errorf("make a client for %s: %w", config.Host, err)
	}
	if c.Core, err = corev1.NewForConfigAndClient(config, client); err != nil {
		return nil, fmt.Errorf("make a client for %s: %w", config.Host, err)
	}
	return c, nil
}

func access(kubeconfig string) (*rest.Config, error) {
	if kubeconfig != "" {
		files := &clientcmd.ClientConfigLoadingRules{Precedence: filepath.SplitList(kubeconfig)}
		config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(files, nil).ClientConfig()
		if err != nil {
			return nil, fmt.Errorf("read kubeconfig %s: %w", kubeconfig, err)
		}
		return config, nil
	}
	config, err := rest.InClusterConfig()
	if errors.Is(err, rest.ErrNotInCluster) {
		return nil, errors.New("this process runs in no cluster, and no kubeconfig is set (DAVIT_KUBECONFIG, or KUBECONFIG)")
	}
	if err != nil {
		return nil, fmt.Errorf("read the access that the cluster gave this pod: %w", err)
	}
	return config, nil
}
