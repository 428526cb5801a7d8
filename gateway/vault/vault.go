// Package vault keeps the secrets that users give to functions: values that are put, replaced and deleted by name, and
// given to runners and to builds, but never to users again.
//
// They lie in the object store, sealed with a key that is not there: what is read from the store alone tells nothing but
// names. Where runners are pods, each value is also brought to the cluster, where pods refer to it.
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
	"log/slog"
	"strings"
	"time"

	"davit/internal/blob"
	"davit/internal/faas"
)

// Objects is the store.
type Objects interface {
	Put(ctx context.Context, key blob.Key, r io.Reader, size int64, o blob.PutOptions) (blob.Info, error)
	Get(ctx context.Context, key blob.Key, offset, length int64) (io.ReadCloser, blob.Info, error)
	List(ctx context.Context, prefix string, after blob.Key) iter.Seq2[blob.Info, error]
	Delete(ctx context.Context, key blob.Key) error
}

// Publisher brings values to where runners are started.
type Publisher interface {
	PutValue(ctx context.Context, name, value string) error
	RemoveValue(ctx context.Context, name string) error
}

// Options are what a Vault needs.
type Options struct {
	Objects   Objects
	Secret    []byte                                    // of the installation; the key is derived from it
	Publisher Publisher                                 // nil: values are only read from here
	Users     func(faas.SecretName) []faas.FunctionName // functions whose live revision names a secret
	Log       *slog.Logger
}

// Vault keeps secrets. Its methods may be called at the same time; their errors
// that users may read are *faas.Error.
type Vault struct {
	o   Options
	key []byte
}

const (
	prefix = "secrets/"
	// maxObject is more than a value with its seal has.
	maxObject = faas.MaxSecretBytes + 1<<10
)

// New returns the Vault of an installation.
func New(o Options) (*Vault, error) {
	key, err := hkdf.Key(sha256.New, o.Secret, nil, "davit secrets", keyBytes)
	if err != nil {
		return nil, fmt.Errorf("derive the key of secrets: %w", err)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Vault{o: o, key: key}, nil
}

func keyOf(name faas.SecretName) blob.Key { return blob.Key(prefix + string(name)) }

// Put keeps a value under a name; created is false when it replaced one. Runners
// that start after it get it. Functions may name it only once all of it is done.
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
		return false, away(fmt.Errorf("keep secret %q: %w", name, err))
	}
	p := v.o.Publisher
	if p == nil {
		return created, nil
	}
	if err := p.PutValue(ctx, string(name), value); err != nil {
		if created { // else pods would look for it in vain
			err = errors.Join(err, v.o.Objects.Delete(context.WithoutCancel(ctx), keyOf(name)))
		}
		return false, away(fmt.Errorf("keep secret %q: %w", name, err))
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
		faults = append(faults, faas.FieldError{Pointer: "/value", Detail: "holds a NUL, which no variable can"})
	}
	if len(faults) == 0 {
		return nil
	}
	return &faas.Error{Kind: faas.NotAllowed, Detail: "the secret is not allowed so", Fields: faults}
}

// Delete forgets a secret: NotFound, or Conflict while the live revision of a function names it.
func (v *Vault) Delete(ctx context.Context, name faas.SecretName) error {
	if _, err := v.Find(ctx, name); err != nil {
		return err
	}
	if users := v.users(name); len(users) > 0 {
		return faas.Errorf(faas.Conflict, "secret %q is named by %s; register it without, or delete it, first", name, strings.Join(users, ", "))
	}
	if p := v.o.Publisher; p != nil {
		if err := p.RemoveValue(ctx, string(name)); err != nil {
			return away(fmt.Errorf("delete secret %q: %w", name, err))
		}
	}
	if err := v.o.Objects.Delete(ctx, keyOf(name)); err != nil {
		return away(fmt.Errorf("delete secret %q: %w", name, err))
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

// Find describes a secret, or is NotFound.
func (v *Vault) Find(ctx context.Context, name faas.SecretName) (*faas.Secret, error) {
	if name.Check() == "" {
		for info, err := range v.o.Objects.List(ctx, prefix+string(name), "") {
			if err != nil {
				return nil, away(fmt.Errorf("find secret %q: %w", name, err))
			}
			if info.Key == keyOf(name) {
				return &faas.Secret{Name: name, UpdatedAt: info.ModifiedAt.UTC()}, nil
			}
			break // the name itself comes first
		}
	}
	return nil, faas.Errorf(faas.NotFound, "there is no secret %q", name)
}

// List lists secrets by name; next is the cursor of the rest, "" when there is none.
func (v *Vault) List(ctx context.Context, limit int, cursor string) (items []*faas.Secret, next string, err error) {
	var after blob.Key
	if cursor != "" {
		if faas.SecretName(cursor).Check() != "" {
			return nil, "", faas.Errorf(faas.Invalid, "the cursor is none that a list of secrets gave")
		}
		after = keyOf(faas.SecretName(cursor))
	}
	for info, err := range v.o.Objects.List(ctx, prefix, after) {
		if err != nil {
			return nil, "", away(fmt.Errorf("list secrets: %w", err))
		}
		if len(items) == limit {
			return items, string(items[limit-1].Name), nil
		}
		name := faas.SecretName(strings.TrimPrefix(string(info.Key), prefix))
		items = append(items, &faas.Secret{Name: name, UpdatedAt: info.ModifiedAt.UTC()})
	}
	return items, "", nil
}

// Missing returns those of the names that no secret has.
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

// Value returns a secret's value, for runners and builds only.
func (v *Vault) Value(ctx context.Context, name string) (string, error) {
	r, _, err := v.o.Objects.Get(ctx, keyOf(faas.SecretName(name)), 0, -1)
	if errors.Is(err, blob.ErrNotFound) {
		return "", faas.Errorf(faas.BuildFailed, "there is no secret %q; PUT /v1/secrets/%s", name, name)
	}
	if err != nil {
		return "", away(fmt.Errorf("read secret %q: %w", name, err))
	}
	defer r.Close() //nolint:errcheck // only read
	sealed, err := io.ReadAll(io.LimitReader(r, maxObject))
	if err != nil {
		return "", away(fmt.Errorf("read secret %q: %w", name, err))
	}
	value, err := open(v.key, name, sealed)
	if err != nil {
		return "", &faas.Error{
			Kind: faas.BuildFailed, Err: err,
			Detail: fmt.Sprintf("secret %q was sealed by an installation with another key, which is in Redis; put it again", name),
		}
	}
	return value, nil
}

// away makes errors of the store into what users may read; others stay.
func away(err error) error {
	var known *faas.Error
	if errors.As(err, &known) {
		return err
	}
	return &faas.Error{Kind: faas.Unavailable, Detail: "the store of secrets does not answer; try again in a moment", RetryAfter: 2 * time.Second, Err: err}
}
