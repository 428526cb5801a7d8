package api

import (
	"errors"
	"io"
	"mime/multipart"
	"strings"

	"davit/gateway/edge"
	"davit/gateway/register"
	"davit/internal/faas"
	"davit/internal/faas/spec"
	"davit/internal/text"
)

// putSource registers an archive. If the spec comes first, the archive is passed on as it arrives; else it is spooled
// on disk until the spec has arrived.
func (fs *functions) putSource(r *edge.Request, name faas.FunctionName, boundary string) (*register.Registered, error) {
	p, err := newParts(r, fs.limits, boundary)
	if err != nil {
		return nil, err
	}
	part, err := p.next()
	if errors.Is(err, io.EOF) {
		return nil, missingPart("spec")
	}
	if err != nil {
		return nil, err
	}
	switch part.FormName() {
	case "spec":
		return fs.putSpecFirst(r, name, p, part)
	case "source":
		return fs.putSourceFirst(r, name, p, part)
	}
	return nil, unknownPart(part)
}

func missingPart(name string) error {
	e := faas.Errorf(faas.Invalid, "the form has no part %q; send the parts spec (JSON) and source (a .tgz or .tar.gz archive)", name)
	e.Fields = []faas.FieldError{{Pointer: "/" + name, Detail: "is missing"}}
	return e
}

func unknownPart(part *multipart.Part) error {
	name := text.Clip(part.FormName(), 40)
	e := faas.Errorf(faas.Invalid, "the form has a part %q that does not belong there; send one spec and one source", name)
	e.Fields = []faas.FieldError{{Pointer: "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name), Detail: "does not belong there"}}
	return e
}

func (fs *functions) readSpec(part io.Reader) (faas.FunctionSpec, error) {
	b, err := small(part, "spec", fs.limits.JSONBytes)
	if err != nil {
		return faas.FunctionSpec{}, err
	}
	return spec.DecodeFunctionSpec(b)
}

// wanted returns the next part, or an error unless it has that name.
func (p *parts) wanted(name string) (*multipart.Part, error) {
	part, err := p.next()
	switch {
	case errors.Is(err, io.EOF):
		return nil, missingPart(name)
	case err != nil:
		return nil, err
	case part.FormName() != name:
		return nil, unknownPart(part)
	}
	return part, nil
}

// over returns an error unless the form ends here.
func (p *parts) over() error {
	part, err := p.next()
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return err
	}
	return unknownPart(part)
}

func (fs *functions) putSpecFirst(r *edge.Request, name faas.FunctionName, p *parts, part *multipart.Part) (*register.Registered, error) {
	spec, err := fs.readSpec(part)
	if err != nil {
		return nil, err
	}
	if part, err = p.wanted("source"); err != nil {
		return nil, err
	}
	most := fs.limits.SourceBytes
	return fs.registrar.PutSource(r.LastingContext(), name, spec, &source{part: part, left: most, most: most, last: p.over})
}

func (fs *functions) putSourceFirst(r *edge.Request, name faas.FunctionName, p *parts, part *multipart.Part) (*register.Registered, error) {
	most := fs.limits.SourceBytes
	file, err := fs.uploads.spool(&source{part: part, left: most, most: most, last: func() error { return nil }})
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if part, err = p.wanted("spec"); err != nil {
		return nil, err
	}
	spec, err := fs.readSpec(part)
	if err != nil {
		return nil, err
	}
	if err := p.over(); err != nil {
		return nil, err
	}
	return fs.registrar.PutSource(r.LastingContext(), name, spec, file)
}
