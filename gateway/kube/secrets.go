package kube

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	typedv1 "k8s.io/client-go/kubernetes/typed/core/v1"

	"davit/internal/faas"
)

// This package writes and deletes Secrets and never reads them, so that a gateway needs no right to read the other
// Secrets of the namespace.

// secrets writes and deletes the Secrets of revisions' tokens and of users' values.
type secrets struct {
	client typedv1.SecretInterface
	token  func(faas.RevisionRef) string

	mu     sync.Mutex
	tokens map[faas.RevisionRef]bool // revisions whose Secret this process wrote, or is to delete
}

func newSecrets(client typedv1.SecretInterface, token func(faas.RevisionRef) string) *secrets {
	return &secrets{client: client, token: token, tokens: map[faas.RevisionRef]bool{}}
}

// ensureToken writes the Secret with the token of a revision's runners, once in a process.
func (s *secrets) ensureToken(ctx context.Context, ref faas.RevisionRef) error {
	s.mu.Lock()
	written := s.tokens[ref]
	s.mu.Unlock()
	if written {
		return nil
	}
	labels := map[string]string{
		labelPartOf: partOf, labelManagedBy: managedBy, labelComponent: "token",
		LabelFunction: string(ref.Function), LabelRevision: fmt.Sprint(int(ref.Number)),
	}
	if err := s.write(ctx, tokenSecret(ref), labels, tokenKey, s.token(ref)); err != nil {
		return fmt.Errorf("write the token of %s: %w", ref, err)
	}
	s.addToken(ref)
	return nil
}

// addToken adds a revision to those that withTokens returns.
func (s *secrets) addToken(ref faas.RevisionRef) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens[ref] = true
}

// withTokens returns the revisions whose Secret this process wrote, or is to delete.
func (s *secrets) withTokens() []faas.RevisionRef {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.tokens))
}

// removeToken deletes the Secret with the token of a revision's runners. A missing Secret is no error.
func (s *secrets) removeToken(ctx context.Context, ref faas.RevisionRef) error {
	s.mu.Lock()
	delete(s.tokens, ref)
	s.mu.Unlock()
	err := s.remove(ctx, tokenSecret(ref))
	if err != nil {
		s.addToken(ref) // sweepTokens tries again
	}
	return err
}

// putValue writes the Secret with the value of a user's secret.
func (s *secrets) putValue(ctx context.Context, name, value string) error {
	labels := map[string]string{labelPartOf: partOf, labelManagedBy: managedBy, labelComponent: "value"}
	return s.write(ctx, valueSecret(name), labels, valueKey, value)
}

// removeValue deletes the Secret of a user's secret. A missing Secret is no error.
func (s *secrets) removeValue(ctx context.Context, name string) error {
	return s.remove(ctx, valueSecret(name))
}

// write creates a Secret, or replaces all of its content.
func (s *secrets) write(ctx context.Context, name string, labels map[string]string, key, value string) error {
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
		Type:       corev1.SecretTypeOpaque,
		Data:       map[string][]byte{key: []byte(value)},
	}
	_, err := s.client.Create(ctx, secret, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		_, err = s.client.Update(ctx, secret, metav1.UpdateOptions{})
	}
	return err
}

func (s *secrets) remove(ctx context.Context, name string) error {
	err := s.client.Delete(ctx, name, metav1.DeleteOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
