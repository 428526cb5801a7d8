// Package vault stores the secrets that users give to functions: values that users put, replace and delete by name, and
// that only runners and builds can read.
//
// A secret is an object in the store, encrypted with a key that is not in the store, so that the store reveals only
// names. If runners are pods, each value is also published to the cluster, where pods refer to it.
//
// Start at [Vault].
package vault

import (
	"bytes"
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"

	"davit/internal/blob"
	"davit/internal/faas"
)

// Objects is the object store.
type Objects interface {
	Put(ctx context.Context, key blob.Key, r io.Reader, size int64, o blob.PutOptions) (blob.Info, error)
	Get(ctx context.Context, key blob.Key, offset, length int64) (io.ReadCloser, blob.Info, error)
	List(ctx context.Context, prefix string, after blob.Key) iter.Seq2[blob.Info, error]
	Delete(ctx context.Context, key blob.Key) error
}

// Publisher copies values to the cluster that runs the pods.
type Publisher interface {
	PutValue(ctx context.Context, name, value string) error
	RemoveValue(ctx context.Context, name string) error
}

// Options are what a Vault needs.
type Options struct {
	Objects   Objects
	Secret    []byte                                    // of the installation; the key is derived from it
	Publisher Publisher                                 // nil: runners read values from the Vault only
	Users     func(faas.SecretName) []faas.FunctionName // functions whose live revision names a secret
}

// Vault stores secrets. Its methods may be called concurrently. Errors that users may read are *faas.Error.
type Vault struct {
	o   Options
	key []byte
}

const (
	prefix = "secrets/"
	// maxObject is more than the bytes of the longest encrypted value.
	maxObject = faas.MaxSecretBytes + 1<<10
	// retryAfter is the Retry-After of a request that failed because the store was unavailable.
	retryAfter = 2 * time.Second
)

// New returns the Vault of an installation.
func New(o Options) (*Vault, error) {
	key, err := hkdf.Key(sha256.New, o.Secret, nil, "davit secrets", keyBytes)
	if err != nil {
		return nil, fmt.Errorf("derive the key of secrets: %w", err)
	}
	return &Vault{o: o, key: key}, nil
}

func keyOf(name faas.SecretName) blob.Key { return blob.Key(prefix + string(name)) }

// Put stores a value under a name; created is false if it replaced another. Runners that start afterwards get the
// value. If Put fails for a new name, the secret does not exist.
func (v *Vault) Put(ctx context.Context, name faas.SecretName, value string) (created bool, err error) {
	if err := check(name, value); err != nil {
		return false, err
	}
	before, err := v.Missing(ctx, []string{string(name)})
	if err != nil {
		return false, err
	}
	created = len(before) > 0
	sealed := seal(v.key, string(name), value)
	if _, err := v.o.Objects.Put(ctx, keyOf(name), bytes.NewReader(sealed), int64(len(sealed)), blob.PutOptions{}); err != nil {
		return false, unavailable(fmt.Errorf("store secret %q: %w", name, err))
	}
	p := v.o.Publisher
	if p == nil {
		return created, nil
	}
	if err := p.PutValue(ctx, string(name), value); err != nil {
		if created { // because pods would wait for a value that is not published
			err = errors.Join(err, v.o.Objects.Delete(context.WithoutCancel(ctx), keyOf(name)))
		}
		return false, unavailable(fmt.Errorf("store secret %q: %w", name, err))
	}
	return created, nil
}

func check(name faas.SecretName, value string) error {
	var faults []faas.FieldError
	if why := name.Check(); why != "" {
		faults = append(faults, faas.FieldError{Pointer: "/name", Detail: why})
	}
	switch {
	case value == "":
		faults = append(faults, faas.FieldError{Pointer: "/value", Detail: "is empty"})
	case len(value) > faas.MaxSecretBytes:
		faults = append(faults, faas.FieldError{Pointer: "/value", Detail: fmt.Sprintf("has %d bytes; at most %d are allowed", len(value), faas.MaxSecretBytes)})
	case strings.ContainsRune(value, 0):
		faults = append(faults, faas.FieldError{Pointer: "/value", Detail: "contains a NUL character, which a variable cannot have"})
	}
	if len(faults) == 0 {
		return nil
	}
	return &faas.Error{Kind: faas.NotAllowed, Detail: "the secret is not allowed", Fields: faults}
}

// Delete removes a secret. The error is NotFound if there is none, and Conflict while the live revision of a function
// names it.
func (v *Vault) Delete(ctx context.Context, name faas.SecretName) error {
	if _, err := v.Find(ctx, name); err != nil {
		return err
	}
	if users := v.users(name); len(users) > 0 {
		return faas.Errorf(faas.Conflict, "secret %q is named by %s; register it without, or delete it, first", name, strings.Join(users, ", "))
	}
	if p := v.o.Publisher; p != nil {
		if err := p.RemoveValue(ctx, string(name)); err != nil {
			return unavailable(fmt.Errorf("delete secret %q: %w", name, err))
		}
	}
	if err := v.o.Objects.Delete(ctx, keyOf(name)); err != nil {
		return unavailable(fmt.Errorf("delete secret %q: %w", name, err))
	}
	return nil
}

func (v *Vault) users(name faas.SecretName) []string {
	if v.o.Users == nil {
		return nil
	}
	var users []string
	for _, fn := range v.o.Users(name) {
		users = append(users, fmt.Sprintf("function %q", fn))
	}
	return users
}

// Find returns the name of a secret and when it was last put, or a NotFound error.
func (v *Vault) Find(ctx context.Context, name faas.SecretName) (*faas.Secret, error) {
	if name.Check() == "" {
		for info, err := range v.o.Objects.List(ctx, prefix+string(name), "") {
			if err != nil {
				return nil, unavailable(fmt.Errorf("find secret %q: %w", name, err))
			}
			if info.Key == keyOf(name) {
				return &faas.Secret{Name: name, UpdatedAt: info.ModifiedAt.UTC()}, nil
			}
			break // because the key itself would be the first
		}
	}
	return nil, faas.Errorf(faas.NotFound, "there is no secret %q", name)
}

// List returns up to limit secrets after the cursor, by name; next is the cursor of the next page, "" at the end.
func (v *Vault) List(ctx context.Context, limit int, cursor string) (items []*faas.Secret, next string, err error) {
	var after blob.Key
	if cursor != "" {
		if faas.SecretName(cursor).Check() != "" {
			return nil, "", faas.Errorf(faas.Invalid, "the cursor is not valid; use next from the previous page")
		}
		after = keyOf(faas.SecretName(cursor))
	}
	for info, err := range v.o.Objects.List(ctx, prefix, after) {
		if err != nil {
			return nil, "", unavailable(fmt.Errorf("list secrets: %w", err))
		}
		if len(items) == limit {
			return items, string(items[limit-1].Name), nil
		}
		name := faas.SecretName(strings.TrimPrefix(string(info.Key), prefix))
		items = append(items, &faas.Secret{Name: name, UpdatedAt: info.ModifiedAt.UTC()})
	}
	return items, "", nil
}

// Missing returns the names of which there is no secret, in the order of names.
func (v *Vault) Missing(ctx context.Context, names []string) ([]string, error) {
	var missing []string
	for _, name := range names {
		_, err := v.Find(ctx, faas.SecretName(name))
		switch {
		case faas.KindOf(err) == faas.NotFound:
			missing = append(missing, name)
		case err != nil:
			return nil, err
		}
	}
	return missing, nil
}

// Value returns the value of a secret, for runners and builds only.
func (v *Vault) Value(ctx context.Context, name string) (string, error) {
	r, _, err := v.o.Objects.Get(ctx, keyOf(faas.SecretName(name)), 0, -1)
	if errors.Is(err, blob.ErrNotFound) {
		return "", faas.Errorf(faas.BuildFailed, "there is no secret %q; PUT /v1/secrets/%s", name, name)
	}
	if err != nil {
		return "", unavailable(fmt.Errorf("read secret %q: %w", name, err))
	}
	defer r.Close()
	sealed, err := io.ReadAll(io.LimitReader(r, maxObject))
	if err != nil {
		return "", unavailable(fmt.Errorf("read secret %q: %w", name, err))
	}
	value, err := open(v.key, name, sealed)
	if err != nil {
		return "", &faas.Error{
			Kind: faas.BuildFailed, Err: err,
			Detail: fmt.Sprintf("secret %q was encrypted by an installation with another key, which is in Redis; put it again", name),
		}
	}
	return value, nil
}

// unavailable makes an error of the store or the cluster Unavailable; errors that users may read stay as they are.
func unavailable(err error) error {
	return faas.OrUnavailable(err, "the store of secrets does not answer; try again in a moment", retryAfter)
}
