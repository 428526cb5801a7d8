package kube

import (
	"context"
	"fmt"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	typedv1 "k8s.io/client-go/kubernetes/typed/core/v1"

	"davit/internal/faas"
)

// This package writes and deletes Secrets and never reads them, so that a gateway needs no
// right to read the other Secrets of the namespace.

// ensureToken writes the Secret with the token of a revision's runners, once in a process.
func (l *Launcher) ensureToken(ctx context.Context, ref faas.RevisionRef) error {
	l.mu.Lock()
	written := l.tokens[ref]
	l.mu.Unlock()
	if written {
		return nil
	}
	labels := map[string]string{
		labelPartOf: partOf, labelManagedBy: managedBy, labelComponent: "token",
		LabelFunction: string(ref.Function), LabelRevision: fmt.Sprint(int(ref.Number)),
	}
	if err := write(ctx, l.secrets(), tokenSecret(ref), labels, tokenKey, l.o.Token(ref)); err != nil {
		return fmt.Errorf("write the token of %s: %w", ref, err)
	}
	l.mu.Lock()
	l.tokens[ref] = true
	l.mu.Unlock()
	return nil
}

// Forget deletes the objects of a deleted revision: the Secret of its token, and its Jobs.
// While a Job of the revision is not done, Forget deletes nothing, and the sweep calls it
// again later.
func (l *Launcher) Forget(ctx context.Context, ref faas.RevisionRef) error {
	l.mu.Lock()
	l.tokens[ref] = true
	l.mu.Unlock()
	if l.hasRunner(ref) {
		return nil
	}
	l.mu.Lock()
	delete(l.tokens, ref)
	l.mu.Unlock()
	for _, job := range l.jobsOfRevision(ref) {
		l.deleteLater(job.Name, job.UID)
	}
	if err := remove(ctx, l.secrets(), tokenSecret(ref)); err != nil {
		return refusal(fmt.Sprintf("the token of %s is not removed", ref), err)
	}
	return nil
}

// hasRunner reports whether a Job of a revision is not done.
func (l *Launcher) hasRunner(ref faas.RevisionRef) bool {
	return slices.ContainsFunc(l.jobsOfRevision(ref), func(job *batchv1.Job) bool { return !l.isDone(job) })
}

func (l *Launcher) jobsOfRevision(ref faas.RevisionRef) (found []*batchv1.Job) {
	for _, o := range l.jobs.GetStore().List() {
		job := o.(*batchv1.Job)
		if who, err := identify(job); err == nil && who.ref == ref {
			found = append(found, job)
		}
	}
	return found
}

func (l *Launcher) secrets() typedv1.SecretInterface { return l.o.Clients.Core.Secrets(l.o.Namespace) }

// PutValue writes the Secret with the value of a user's secret. Runners that start later
// get the new value.
func (l *Launcher) PutValue(ctx context.Context, name, value string) error {
	labels := map[string]string{labelPartOf: partOf, labelManagedBy: managedBy, labelComponent: "value"}
	return refusal(fmt.Sprintf("secret %q is not kept", name), write(ctx, l.secrets(), valueSecret(name), labels, valueKey, value))
}

// RemoveValue deletes the Secret of a user's secret. A missing Secret is no error.
func (l *Launcher) RemoveValue(ctx context.Context, name string) error {
	return refusal(fmt.Sprintf("secret %q is not removed", name), remove(ctx, l.secrets(), valueSecret(name)))
}

// write creates a Secret, or replaces all of its content.
func write(ctx context.Context, secrets typedv1.SecretInterface, name string, labels map[string]string, key, value string) error {
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
		Type:       corev1.SecretTypeOpaque,
		Data:       map[string][]byte{key: []byte(value)},
	}
	_, err := secrets.Create(ctx, secret, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		_, err = secrets.Update(ctx, secret, metav1.UpdateOptions{})
	}
	return err
}

func remove(ctx context.Context, secrets typedv1.SecretInterface, name string) error {
	err := secrets.Delete(ctx, name, metav1.DeleteOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
