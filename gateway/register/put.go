package register

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"davit/internal/archive"
	"davit/internal/blob"
	"davit/internal/faas"
	"davit/internal/faas/spec"
)

// Registered is a new revision; Created tells that the function is new as well.
type Registered struct {
	Revision *faas.Revision
	Created  bool
}

// mostSkipped bounds the numbers that are passed over because the store has them already.
const mostSkipped = 100

// PutSource reads source to its end, checks it, and registers it as the next
// revision of the function, which is then built in the background. When it
// fails, nothing is registered; a source that is refused takes no number.
func (s *Service) PutSource(ctx context.Context, name faas.FunctionName, spec faas.FunctionSpec, source io.Reader) (*Registered, error) {
	if spec.Image != "" {
		return nil, Refused("function", []faas.FieldError{{Pointer: "/image", Detail: "goes without a source; send one of both"}})
	}
	spec, err := s.checked(ctx, name, spec)
	if err != nil {
		return nil, err
	}
	up, err := s.spool(source, s.o.Limits.PackedBytes)
	if err != nil {
		return nil, err
	}
	defer up.Close() //nolint:errcheck // it has no name on disk
	if err := s.check(ctx, up); err != nil {
		return nil, err
	}
	return s.put(ctx, name, spec, up)
}

// PutImage registers spec.Image as the next revision of the function, where the
// installation can run images; elsewhere it is NotAllowed and says what it needs.
func (s *Service) PutImage(ctx context.Context, name faas.FunctionName, spec faas.FunctionSpec) (*Registered, error) {
	if spec.Image == "" {
		return nil, Refused("function", []faas.FieldError{{Pointer: "/image", Detail: "is missing; name an image, or send a source"}})
	}
	spec, err := s.checked(ctx, name, spec)
	if err != nil {
		return nil, err
	}
	return s.put(ctx, name, spec, nil)
}

// checked returns the spec with its defaults when name and spec are good.
func (s *Service) checked(ctx context.Context, name faas.FunctionName, given faas.FunctionSpec) (faas.FunctionSpec, error) {
	var faults []faas.FieldError
	if why := name.Check(); why != "" {
		faults = append(faults, faas.FieldError{Pointer: "/name", Detail: why})
	}
	given = spec.CompleteFunction(given, s.o.Defaults)
	faults = append(faults, spec.CheckFunction(given, s.o.Capabilities)...)
	if len(faults) == 0 {
		missing, err := s.missingSecrets(ctx, &given)
		if err != nil {
			return given, err
		}
		faults = missing
	}
	if len(faults) > 0 {
		return given, Refused("function", faults)
	}
	return given, nil
}

// missingSecrets tells of the secrets that a spec names and nobody has put.
func (s *Service) missingSecrets(ctx context.Context, spec *faas.FunctionSpec) ([]faas.FieldError, error) {
	names := slices.Clone(spec.Secrets)
	if spec.RegistrySecret != "" {
		names = append(names, spec.RegistrySecret)
	}
	if len(names) == 0 || s.o.Secrets == nil {
		return nil, nil
	}
	missing, err := s.o.Secrets.Missing(ctx, names)
	if err != nil {
		return nil, away(fmt.Errorf("look for secrets: %w", err))
	}
	var faults []faas.FieldError
	for i, name := range names {
		if !slices.Contains(missing, name) {
			continue
		}
		pointer := fmt.Sprintf("/secrets/%d", i)
		if i >= len(spec.Secrets) {
			pointer = "/registry_secret"
		}
		faults = append(faults, faas.FieldError{Pointer: pointer, Detail: fmt.Sprintf("there is no secret %q; PUT /v1/secrets/%s first", name, name)})
	}
	return faults, nil
}

// check refuses an archive that is not allowed, before it takes a number.
func (s *Service) check(ctx context.Context, up *spooled) error {
	_, err := archive.Check(ctx, up.reader(), s.o.Limits)
	var refusal *archive.Refusal
	if errors.As(err, &refusal) {
		return &faas.Error{Kind: faas.Invalid, Detail: refusal.Error(), Err: err}
	}
	return err
}

// put registers a revision; up is nil for an image.
func (s *Service) put(ctx context.Context, name faas.FunctionName, spec faas.FunctionSpec, up *spooled) (*Registered, error) {
	defer s.names.lock("f/" + string(name))()
	ctx, cancel := unstoppable(ctx)
	defer cancel()
	if err := s.finishFunctionDeletion(ctx, name); err != nil {
		return nil, away(fmt.Errorf("register function %q: %w", name, err))
	}
	for range mostSkipped {
		rev, created, err := s.o.Revisions.AddRevision(ctx, name, spec, s.o.Now().UTC())
		if err != nil {
			return nil, fmt.Errorf("register function %q: %w", name, err)
		}
		err = s.keep(ctx, rev, up)
		switch {
		case err == nil:
			s.enqueue(rev)
			return &Registered{Revision: rev, Created: created}, nil
		case errors.Is(err, blob.ErrExists):
			err = s.yieldNumber(ctx, rev)
		default:
			s.abandon(ctx, rev, created)
		}
		if err != nil {
			return nil, away(fmt.Errorf("register function %q: %w", name, err))
		}
	}
	return nil, faas.Errorf(faas.Unavailable, "function %q has too many revisions in the store that the registry does not know", name)
}

// keep writes the copies of a new revision. ErrExists says that its number is
// taken: the registry has forgotten a revision that the store remembers.
func (s *Service) keep(ctx context.Context, rev *faas.Revision, up *spooled) error {
	if up != nil {
		rev.SourceSum = up.sum
		o := blob.PutOptions{ContentType: "application/gzip", SHA256: up.sum, IfAbsent: true}
		if _, err := s.o.Objects.Put(ctx, revisionKey(rev.Ref(), sourceObject), up.reader(), up.size, o); err != nil {
			return fmt.Errorf("store the source: %w", err)
		}
	}
	if err := s.copies.put(ctx, revisionKey(rev.Ref(), revisionObject), rev, blob.PutOptions{IfAbsent: true}); err != nil {
		return err
	}
	_, err := s.o.Revisions.SaveRevision(ctx, rev)
	return err
}

// abandon takes back a revision whose copies could not be written.
func (s *Service) abandon(ctx context.Context, rev *faas.Revision, created bool) {
	failed := *rev
	failed.State, failed.Detail = faas.RevisionFailed, "the registration was interrupted; send it again"
	_, err := s.o.Revisions.SaveRevision(ctx, &failed)
	if created && err == nil {
		_, err = s.o.Functions.DeleteFunction(ctx, rev.Function, false)
	}
	err = errors.Join(err, s.copies.delete(ctx, revisionKey(rev.Ref(), revisionObject), revisionKey(rev.Ref(), sourceObject)))
	if err != nil {
		s.o.Log.Warn("an interrupted registration is not yet cleaned up", "revision", rev.Ref().String(), "error", err)
	}
}

// yieldNumber gives a number back to the revision that the store has under it;
// where the store has only a part of one, the number is used up.
func (s *Service) yieldNumber(ctx context.Context, rev *faas.Revision) error {
	stored, found, err := s.copies.getRevision(ctx, rev.Ref())
	if err != nil {
		return err
	}
	if !found {
		stored = rev
		stored.SourceSum = ""
		stored.State, stored.Detail = faas.RevisionFailed, "an earlier registration under this number was interrupted"
		if err := s.copies.putRevision(ctx, stored); err != nil {
			return err
		}
	}
	_, err = s.o.Revisions.SaveRevision(ctx, stored)
	if found && stored.State == faas.RevisionBuilding {
		s.enqueue(stored)
	}
	return err
}
