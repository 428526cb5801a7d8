package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"davit/gateway/faas"
	"davit/internal/archive"
)

// archives applies the installation's limits to the sources of functions.
type archives struct{ limits archive.Limits }

func newArchives(cfg *Config) archives {
	return archives{archive.Limits{
		PackedBytes: int64(cfg.sizes.maxArchive), UnpackedBytes: int64(cfg.sizes.maxUnpacked), Entries: cfg.MaxArchiveEntries,
	}}
}

// check reads a whole source and refuses a bad one.
func (a archives) check(ctx context.Context, source io.Reader) error {
	_, err := archive.Check(ctx, source, a.limits)
	return refused(err)
}

// unpack writes a source into a folder and tells what a user should know of it.
func (a archives) unpack(ctx context.Context, source io.Reader, dir string) (notes []string, err error) {
	s, err := archive.Unpack(ctx, source, dir, a.limits)
	if err != nil {
		return nil, refused(err)
	}
	if s.Dropped > 0 {
		notes = append(notes, fmt.Sprintf("dropped the set-id and sticky bits of %d entries", s.Dropped))
	}
	return notes, nil
}

// refused makes a refusal an error that names the part of the form.
func refused(err error) error {
	var r *archive.Refusal
	if !errors.As(err, &r) {
		return err
	}
	return &faas.Error{Kind: faas.Invalid, Detail: r.Error(), Fields: []faas.FieldError{{Pointer: "/source", Detail: r.Error()}}}
}
