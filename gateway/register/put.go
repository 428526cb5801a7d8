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

// Registered is a new revision.
type Registered struct {
	Revision *faas.Revision
	Created  bool // the function is new, too
}

// mostSkipped limits how many revision numbers are skipped because the object store has them already.
const mostSkipped = 100

// PutSource reads source to its end, checks it, and registers it as the next revision of the function, which is then
// built in the background. If it returns an error, nothing is registered. A refused source uses up no revision number.
func (s *Service) PutSource(ctx context.Context, name faas.FunctionName, spec faas.FunctionSpec, source io.Reader) (*Registered, error) {
	if spec.Image != "" {
		return nil, Refused("function", []faas.FieldError{{Pointer: "/image", Detail: "goes without a source; send one of both"}})
	}
	spec, err := s.checked(ctx, name, spec)
	if err != nil {
		return nil, err
	}
	up, err := spool(s.o.SpoolDir, source, s.o.Limits.PackedBytes)
	if err != nil {
		return nil, err
	}
	defer up.Close()
	if err := s.checkSource(ctx, up); err != nil {
		return nil, err
	}
	return s.put(ctx, name, spec, up)
}

// PutImage registers spec.Image as the next revision of the function. The error is NotAllowed, and names what is
// needed, if the installation cannot run images.
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

// checked returns the spec with its defaults, or the error for name and spec.
func (s *Service) checked(ctx context.Context, name faas.FunctionName, given faas.FunctionSpec) (faas.FunctionSpec, error) {
	var fields []faas.FieldError
	if why := name.Check(); why != "" {
		fields = append(fields, faas.FieldError{Pointer: "/name", Detail: why})
	}
	given = spec.CompleteFunction(given, s.o.Defaults)
	fields = append(fields, spec.CheckFunction(given, s.o.Capabilities)...)
	if len(fields) == 0 {
		missing, err := s.missingSecrets(ctx, &given)
		if err != nil {
			return given, err
		}
		fields = missing
	}
	if len(fields) > 0 {
		return given, Refused("function", fields)
	}
	return given, nil
}

// missingSecrets returns an error for each secret that the spec names and that does not exist.
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
		return nil, readable(fmt.Errorf("find secrets: %w", err))
	}
	var fields []faas.FieldError
	for i, name := range names {
		if !slices.Contains(missing, name) {
			continue
		}
		pointer := fmt.Sprintf("/secrets/%d", i)
		if i >= len(spec.Secrets) {
			pointer = "/registry_secret"
		}
		fields = append(fields, faas.FieldError{Pointer: pointer, Detail: fmt.Sprintf("there is no secret %q; PUT /v1/secrets/%s first", name, name)})
	}
	return fields, nil
}

func (s *Service) checkSource(ctx context.Context, up *spooled) error {
	_, err := archive.Check(ctx, up.reader(), s.o.Limits)
	if refusal, ok := errors.AsType[*archive.Refusal](err); ok {
		return &faas.Error{Kind: faas.Invalid, Detail: refusal.Error(), Err: err}
	}
	return err
}

// put registers a revision. up is nil if the spec names an image.
func (s *Service) put(ctx context.Context, name faas.FunctionName, spec faas.FunctionSpec, up *spooled) (*Registered, error) {
	defer s.locks.function(name)()
	ctx, cancel := unstoppable(ctx)
	defer cancel()
	if err := s.deletions.finishFunction(ctx, name); err != nil {
		return nil, readable(fmt.Errorf("register function %q: %w", name, err))
	}
	for range mostSkipped {
		rev, created, err := s.o.Revisions.AddRevision(ctx, name, spec, s.o.Now().UTC())
		if err != nil {
			return nil, fmt.Errorf("register function %q: %w", name, err)
		}
		err = s.store(ctx, rev, up)
		switch {
		case err == nil:
			s.builds.enqueue(rev)
			return &Registered{Revision: rev, Created: created}, nil
		case errors.Is(err, blob.ErrExists):
			err = s.restoreRevision(ctx, rev)
		default:
			s.undo(ctx, rev, created)
		}
		if err != nil {
			return nil, readable(fmt.Errorf("register function %q: %w", name, err))
		}
	}
	return nil, faas.Errorf(faas.Unavailable, "function %q has too many revisions in the store that the registry does not know", name)
}

// store writes the objects of a new revision. blob.ErrExists means that the object store has a revision of this number,
// which the registry has lost.
func (s *Service) store(ctx context.Context, rev *faas.Revision, up *spooled) error {
	if up != nil {
		rev.SourceSum = up.sum
		o := blob.PutOptions{ContentType: "application/gzip", SHA256: up.sum, IfAbsent: true}
		if _, err := s.o.Objects.Put(ctx, revisionKey(rev.Ref(), sourceObject), up.reader(), up.size, o); err != nil {
			return fmt.Errorf("store the source: %w", err)
		}
	}
	if err := s.objects.put(ctx, revisionKey(rev.Ref(), revisionObject), rev, blob.PutOptions{IfAbsent: true}); err != nil {
		return err
	}
	_, err := s.o.Revisions.SaveRevision(ctx, rev)
	return err
}

// undo removes a revision whose objects could not be written.
func (s *Service) undo(ctx context.Context, rev *faas.Revision, created bool) {
	failed := *rev
	failed.State, failed.Detail = faas.RevisionFailed, "the registration was interrupted; send it again"
	_, err := s.o.Revisions.SaveRevision(ctx, &failed)
	if created && err == nil {
		_, err = s.o.Functions.DeleteFunction(ctx, rev.Function, false)
	}
	err = errors.Join(err, s.objects.delete(ctx, revisionKey(rev.Ref(), revisionObject), revisionKey(rev.Ref(), sourceObject)))
	if err != nil {
		s.o.Log.Warn("removing an interrupted registration failed", "revision", rev.Ref().String(), "error", err)
	}
}

// restoreRevision writes to the registry the revision that the object store has under the number of rev. If the store
// has only a part of it, the number is used up by a failed revision.
func (s *Service) restoreRevision(ctx context.Context, rev *faas.Revision) error {
	stored, found, err := s.objects.getRevision(ctx, rev.Ref())
	if err != nil {
		return err
	}
	if !found {
		stored = rev
		stored.SourceSum = ""
		stored.State, stored.Detail = faas.RevisionFailed, "an earlier registration under this number was interrupted"
		if err := s.objects.putRevision(ctx, stored); err != nil {
			return err
		}
	}
	_, err = s.o.Revisions.SaveRevision(ctx, stored)
	if found && stored.State == faas.RevisionBuilding {
		s.builds.enqueue(stored)
	}
	return err
}
