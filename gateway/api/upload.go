package api

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/url"
	"os"

	"davit/gateway/edge"
	"davit/gateway/register/form"
	"davit/internal/faas"
	"davit/internal/text"
)

const (
	maxPartHeader = 64 << 10 // of one part of a form
	maxFormFields = 100
	formBuffer    = 64 << 10 // the body is read in pieces of this size
)

// parts reads a multipart body as it arrives. The header of each part is bounded, so that no part of a form is held in
// memory except by its reader.
type parts struct {
	body   *meteredReader
	reader *multipart.Reader
}

// meteredReader fails after left bytes while metered is set.
type meteredReader struct {
	r       io.Reader
	metered bool
	left    int
}

func (m *meteredReader) Read(p []byte) (int, error) {
	if !m.metered {
		return m.r.Read(p)
	}
	if m.left <= 0 {
		return 0, faas.Errorf(faas.Invalid, "the header of a part of the form has no end within %s", faas.Bytes(maxPartHeader))
	}
	n, err := m.r.Read(p[:min(len(p), m.left)])
	m.left -= n
	return n, err
}

// newParts returns a reader of the request's body as a form.
func newParts(r *edge.Request, limits *Limits, boundary string) (*parts, error) {
	if err := refuseEncoded(r); err != nil {
		return nil, err
	}
	if boundary == "" {
		return nil, faas.Errorf(faas.Invalid, "the Content-Type multipart/form-data names no boundary")
	}
	if len(boundary) > 200 {
		return nil, faas.Errorf(faas.Invalid, "the boundary of the form has %d characters; at most 70 are allowed", len(boundary))
	}
	body, err := r.Body(limits.SourceBytes + 2*limits.JSONBytes)
	if err != nil {
		return nil, err
	}
	if body == nil {
		return nil, faas.Errorf(faas.Invalid, "the form is empty")
	}
	p := &parts{body: &meteredReader{r: bufio.NewReaderSize(body, formBuffer)}}
	p.reader = multipart.NewReader(p.body, boundary)
	return p, nil
}

// next returns the next part, or io.EOF after the form's closing boundary.
func (p *parts) next() (*multipart.Part, error) {
	p.body.metered, p.body.left = true, maxPartHeader
	part, err := p.reader.NextRawPart()
	p.body.metered = false
	if err == io.EOF {
		return nil, io.EOF
	}
	if err != nil {
		return nil, malformed(err)
	}
	if part.FormName() == "" {
		return nil, faas.Errorf(faas.Invalid, "a part of the form has no name")
	}
	return part, nil
}

// malformed returns the error of a form that cannot be parsed. It returns an error of the body unchanged.
func malformed(err error) error {
	if known, ok := errors.AsType[*faas.Error](err); ok {
		return known
	}
	return &faas.Error{Kind: faas.Invalid, Detail: "the form is malformed, or ends before it is whole", Err: err}
}

// small reads a part into memory. It returns TooLarge for a part of more than most bytes.
func small(part io.Reader, name string, most int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(part, most+1))
	if err != nil {
		return nil, malformed(err)
	}
	if int64(len(b)) > most {
		return nil, faas.Errorf(faas.TooLarge, "the part %q is larger than the %s that are allowed", text.Clip(name, 40), faas.Bytes(most))
	}
	return b, nil
}

// source reads the archive in a form. Read returns io.EOF only if last returns nil, so that an archive in a form that
// is cut short is not registered.
type source struct {
	part io.Reader
	left int64
	most int64
	last func() error // returns an error unless the rest of the form is valid
}

// Read reads the archive.
func (s *source) Read(p []byte) (int, error) {
	n, err := s.part.Read(p)
	if s.left -= int64(n); s.left < 0 {
		return 0, faas.Errorf(faas.TooLarge, "the source is larger than the %s that are allowed", faas.Bytes(s.most))
	}
	switch {
	case errors.Is(err, io.EOF):
		if err := s.last(); err != nil {
			return 0, err
		}
		return n, io.EOF
	case err != nil:
		return n, malformed(err)
	}
	return n, nil
}

// spool copies r to a file that has no name, and returns the file positioned at its start. The file disappears when it
// is closed.
func (u *uploads) spool(r io.Reader) (*os.File, error) {
	f, err := os.CreateTemp(u.dir, "upload-")
	if err != nil {
		return nil, fmt.Errorf("spool an upload: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(fmt.Errorf("spool an upload: %w", err), f.Close())
	}
	if _, err := io.Copy(f, r); err != nil {
		return nil, errors.Join(fmt.Errorf("spool an upload: %w", err), f.Close())
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, errors.Join(fmt.Errorf("spool an upload: %w", err), f.Close())
	}
	return f, nil
}

// readForm reads an HTML form. Its file is spooled, because fields may follow it; done closes the file.
func (u *uploads) readForm(r *edge.Request) (posted *form.Form, done func(), err error) {
	media, params, err := mediaType(r)
	if err != nil {
		return nil, nil, err
	}
	switch media {
	case mediaForm:
		body, err := readAll(r, u.limits.JSONBytes)
		if err != nil {
			return nil, nil, err
		}
		values, err := url.ParseQuery(string(body))
		if err != nil {
			return nil, nil, faas.Errorf(faas.Invalid, "the form is not encoded as it should be")
		}
		return &form.Form{Values: values}, func() {}, nil
	case mediaMultipart:
		return u.readParts(r, params["boundary"])
	}
	return nil, nil, faas.Errorf(faas.Invalid, "the body is sent as %q; send a form: multipart/form-data or application/x-www-form-urlencoded", text.Clip(media, 80))
}

func (u *uploads) readParts(r *edge.Request, boundary string) (posted *form.Form, done func(), err error) {
	p, err := newParts(r, u.limits, boundary)
	if err != nil {
		return nil, nil, err
	}
	f := &formReader{uploads: u, values: make(map[string][]string), left: u.limits.JSONBytes}
	for {
		part, err := p.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = f.add(part)
		}
		if err != nil {
			f.close()
			return nil, nil, err
		}
	}
	posted = &form.Form{Values: f.values}
	if f.file != nil {
		posted.File = f.file
	}
	return posted, f.close, nil
}

// formReader collects a form's parts.
type formReader struct {
	uploads *uploads
	values  map[string][]string
	fields  int
	left    int64 // bytes of fields that may still come
	file    *os.File
}

func (f *formReader) close() {
	if f.file != nil {
		_ = f.file.Close()
	}
}

func (f *formReader) add(part *multipart.Part) error {
	name := part.FormName()
	if name == "file" {
		return f.addFile(part)
	}
	if f.fields++; f.fields > maxFormFields {
		return faas.Errorf(faas.Invalid, "the form has more than %d fields", maxFormFields)
	}
	text, err := small(part, name, f.left)
	if err != nil {
		return err
	}
	f.left -= int64(len(text))
	f.values[name] = append(f.values[name], string(text))
	return nil
}

// addFile spools the uploaded file. It ignores an empty file without a name, because a browser sends one if no file was
// chosen.
func (f *formReader) addFile(part *multipart.Part) error {
	if f.file != nil {
		return faas.Errorf(faas.Invalid, "the form has two files; send one")
	}
	most := f.uploads.limits.SourceBytes
	file, err := f.uploads.spool(&source{part: part, left: most, most: most, last: func() error { return nil }})
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil || info.Size() == 0 && part.FileName() == "" {
		return errors.Join(err, file.Close())
	}
	f.file = file
	return nil
}
