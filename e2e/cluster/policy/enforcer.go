package policy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	networking "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/knftables"
)

// Enforcer updates a table of the packet filter with the cluster's policies.
type Enforcer struct {
	filter    knftables.Interface
	log       *slog.Logger
	factory   informers.SharedInformerFactory
	changed   chan struct{}
	mu        sync.Mutex
	addresses map[string]netip.Addr
	applied   string
}

// NewEnforcer returns an enforcer that watches with the client and writes with the filter. It replaces the filter's
// whole table.
func NewEnforcer(client kubernetes.Interface, filter knftables.Interface, log *slog.Logger) *Enforcer {
	return &Enforcer{
		filter: filter, log: log, factory: informers.NewSharedInformerFactory(client, 0),
		changed: make(chan struct{}, 1), addresses: map[string]netip.Addr{},
	}
}

// Run enforces until the context ends, and then keeps the rules. A change takes effect within some milliseconds. Run
// tries a failed update again.
func (e *Enforcer) Run(ctx context.Context) error {
	for _, informer := range e.informers() {
		if _, err := informer.AddEventHandler(e.handler()); err != nil {
			return fmt.Errorf("watch the cluster: %w", err)
		}
	}
	e.factory.StartWithContext(ctx)
	defer e.factory.Shutdown()
	if err := e.synced(ctx); err != nil {
		return nil //nolint:nilerr // the context has ended before anything was there to enforce
	}
	const retry = time.Second
	var again <-chan time.Time
	e.change()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-again:
		case <-e.changed:
		}
		again = nil
		if err := e.apply(ctx); err != nil {
			e.log.Error("policies are not in force", "error", err)
			again = time.After(retry)
		}
	}
}

func (e *Enforcer) informers() []cache.SharedIndexInformer {
	return []cache.SharedIndexInformer{
		e.factory.Core().V1().Pods().Informer(),
		e.factory.Core().V1().Namespaces().Informer(),
		e.factory.Networking().V1().NetworkPolicies().Informer(),
	}
}

func (e *Enforcer) synced(ctx context.Context) error {
	for _, informer := range e.informers() {
		if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
			return fmt.Errorf("watch the cluster: %w", ctx.Err())
		}
	}
	return nil
}

func (e *Enforcer) handler() cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { e.change() },
		UpdateFunc: func(any, any) { e.change() },
		DeleteFunc: func(any) { e.change() },
	}
}

func (e *Enforcer) change() {
	select {
	case e.changed <- struct{}{}:
	default:
	}
}

// Admit records that the pod has the address from now on, and returns when its policies are in force. It waits for the
// pod if it is so new that the watch does not show it yet.
func (e *Enforcer) Admit(ctx context.Context, namespace, name string, address netip.Addr) error {
	if err := e.known(ctx, namespace, name); err != nil {
		return fmt.Errorf("admit pod %s: %w", Key(namespace, name), err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for key, other := range e.addresses {
		if other == address {
			delete(e.addresses, key)
		}
	}
	e.addresses[Key(namespace, name)] = address
	if err := e.applyLocked(ctx); err != nil {
		return fmt.Errorf("admit pod %s: %w", Key(namespace, name), err)
	}
	return nil
}

// known waits until the watches are synced and show the pod.
func (e *Enforcer) known(ctx context.Context, namespace, name string) error {
	if err := e.synced(ctx); err != nil {
		return err
	}
	const pause = 10 * time.Millisecond
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	for {
		_, err := e.factory.Core().V1().Pods().Lister().Pods(namespace).Get(name)
		if err == nil || !apierrors.IsNotFound(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-ticker.C:
		}
	}
}

func (e *Enforcer) apply(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.applyLocked(ctx)
}

func (e *Enforcer) applyLocked(ctx context.Context) error {
	world, err := e.world()
	if err != nil {
		return err
	}
	isolated := Compile(world)
	tx := e.filter.NewTransaction()
	Write(tx, isolated)
	if tx.String() == e.applied {
		return nil
	}
	if err := e.filter.Run(ctx, tx); err != nil {
		return fmt.Errorf("write the rules: %w", err)
	}
	e.applied = tx.String()
	e.log.Info("policies in force", "policies", len(world.Policies), "isolated_pods", len(isolated))
	return nil
}

// world returns the watched objects. It removes the addresses of deleted pods.
func (e *Enforcer) world() (World, error) {
	pods, err := e.factory.Core().V1().Pods().Lister().List(labels.Everything())
	if err != nil {
		return World{}, err
	}
	namespaces, err := e.factory.Core().V1().Namespaces().Lister().List(labels.Everything())
	if err != nil {
		return World{}, err
	}
	policies, err := e.factory.Networking().V1().NetworkPolicies().Lister().List(labels.Everything())
	if err != nil {
		return World{}, err
	}
	there := map[string]netip.Addr{}
	for _, pod := range pods {
		key := Key(pod.Namespace, pod.Name)
		if address, given := e.addresses[key]; given && !ended(pod) {
			there[key] = address
		}
	}
	e.addresses = there
	// Sorted, because the lister has no order, and equal rules must have equal text.
	slices.SortFunc(policies, func(a, b *networking.NetworkPolicy) int {
		return strings.Compare(Key(a.Namespace, a.Name), Key(b.Namespace, b.Name))
	})
	return World{Pods: pods, Namespaces: namespaces, Policies: policies, Addresses: there}, nil
}
