package kube

import (
	"context"
	"log/slog"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	typedv1 "k8s.io/client-go/kubernetes/typed/coordination/v1"
)

const (
	leaseName  = "davit-sweep"
	leaseFor   = 45 * time.Second
	leaseEvery = 15 * time.Second
)

// lease is held by one gateway at a time. A write of one that has lost it meanwhile
// is refused, for every renewal names the version that it follows.
type lease struct {
	leases typedv1.LeaseInterface
	name   string
	holder string
	now    func() time.Time

	version string    // of the Lease, when another one had it last
	since   time.Time // when that version was first seen, by this clock: clocks of machines differ
	held    bool
}

// hold takes or renews the lease, and reports whether it is held.
func (e *lease) hold(ctx context.Context, log *slog.Logger) bool {
	held, err := e.try(ctx)
	if err != nil && ctx.Err() == nil && !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err) {
		log.Debug("renew a lease", "lease", e.name, "error", err)
	}
	e.held = held && err == nil
	return e.held
}

func (e *lease) try(ctx context.Context) (bool, error) {
	now := metav1.NewMicroTime(e.now())
	there, err := e.leases.Get(ctx, e.name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err := e.leases.Create(ctx, &coordinationv1.Lease{
			ObjectMeta: metav1.ObjectMeta{Name: e.name, Labels: map[string]string{labelPartOf: partOf, labelManagedBy: managedBy}},
			Spec:       e.spec(now, 1),
		}, metav1.CreateOptions{})
		return err == nil, err
	}
	if err != nil {
		return false, err
	}
	mine := there.Spec.HolderIdentity != nil && *there.Spec.HolderIdentity == e.holder
	if !mine && !e.isOver(there) {
		return false, nil
	}
	changes := int32(0)
	if there.Spec.LeaseTransitions != nil {
		changes = *there.Spec.LeaseTransitions
	}
	if mine {
		there.Spec.RenewTime = &now
	} else {
		there.Spec = e.spec(now, changes+1)
	}
	_, err = e.leases.Update(ctx, there, metav1.UpdateOptions{})
	return err == nil, err
}

// isOver reports whether the holder gave the lease up, or has not renewed it for its term.
func (e *lease) isOver(there *coordinationv1.Lease) bool {
	if there.Spec.HolderIdentity == nil || *there.Spec.HolderIdentity == "" {
		return true
	}
	if there.ResourceVersion != e.version || e.since.IsZero() {
		e.version, e.since = there.ResourceVersion, e.now()
		return false
	}
	return e.now().Sub(e.since) > leaseFor
}

func (e *lease) spec(now metav1.MicroTime, changes int32) coordinationv1.LeaseSpec {
	return coordinationv1.LeaseSpec{
		HolderIdentity: &e.holder, LeaseDurationSeconds: pointer(int32(leaseFor / time.Second)),
		AcquireTime: &now, RenewTime: &now, LeaseTransitions: &changes,
	}
}

// giveUp lets another gateway have the lease at once.
func (e *lease) giveUp(ctx context.Context, log *slog.Logger) {
	if !e.held {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	there, err := e.leases.Get(ctx, e.name, metav1.GetOptions{})
	if err == nil && there.Spec.HolderIdentity != nil && *there.Spec.HolderIdentity == e.holder {
		there.Spec.HolderIdentity = nil
		_, err = e.leases.Update(ctx, there, metav1.UpdateOptions{})
	}
	if err != nil {
		log.Debug("give a lease up; its term ends by itself", "lease", e.name, "error", err)
	}
}
