package form

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
)

var (
	// errHeader says that a part's header has more than maxPartHeader bytes.
	errHeader = errors.New("part header too long")
	// errEnd replaces io.EOF at the end of the body. The standard reader returns io.EOF both for the last boundary and
	// for a body that ends in a part's header; with errEnd only the first case remains.
	errEnd = errors.New("body ended")
)

// readMultipart reads a multipart/form-data body.
func (in *Input) readMultipart(body io.Reader, boundary string) error {
	if boundary == "" || len(boundary) > maxBoundary {
		return Faultf("the multipart boundary has %d characters; 1 to %d are allowed", len(boundary), maxBoundary)
	}
	// Buffered, because the standard reader reads 4 KiB at a time.
	from := &meter{from: bufio.NewReaderSize(body, 64<<10)}
	parts := multipart.NewReader(from, boundary)
	for number := 1; ; number++ {
		where := fmt.Sprintf("part %d", number)
		from.allow(maxPartHeader)
		part, err := parts.NextRawPart()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return from.explain(err, where)
		}
		from.allow(-1)
		if err := in.readPart(part, where, from); err != nil {
			return err
		}
	}
}

// readPart adds one part as a field or a file.
func (in *Input) readPart(part *multipart.Part, where string, from *meter) error {
	disposition, params, err := mime.ParseMediaType(part.Header.Get("Content-Disposition"))
	if err != nil || disposition != "form-data" {
		return Faultf(`%s: its Content-Disposition cannot be read; send form-data; name="…"`, where)
	}
	name := params["name"]
	where = fmt.Sprintf("%s (%q)", where, clip(name))
	if fault := checkField(name, ""); fault != nil {
		return Faultf("%s: %s", where, fault.Detail)
	}
	content := &content{part: part, meter: from, where: where}
	if fileName, isFile := params["filename"]; isFile {
		return in.addFile(File{Field: name, Name: fileName, ContentType: part.Header.Get("Content-Type")}, content)
	}
	value, err := io.ReadAll(io.LimitReader(content, MaxValueBytes+1))
	if err != nil {
		return err
	}
	return in.add(name, string(value))
}

// addFile adds an uploaded file. It ignores a part without name and bytes, because a browser sends one for a file that
// was not chosen.
func (in *Input) addFile(f File, from io.Reader) error {
	if f.Name != "" {
		return in.keep(f, from)
	}
	n, err := from.Read(make([]byte, 1))
	if n == 0 && err == io.EOF {
		return nil
	}
	if err != nil && err != io.EOF {
		return err
	}
	return Faultf("file field %q has no file name; send filename=\"…\"", clip(f.Field))
}

// meter reads the body, up to a limit if one is set, and records an error of the body itself.
type meter struct {
	from   io.Reader
	left   int // bytes until errHeader; -1: no limit
	broken error
	ended  bool
}

func (m *meter) allow(n int) { m.left = n }

// Read implements io.Reader.
func (m *meter) Read(p []byte) (int, error) {
	if m.left == 0 {
		return 0, errHeader
	}
	if m.left > 0 && len(p) > m.left {
		p = p[:m.left]
	}
	n, err := m.from.Read(p)
	if m.left > 0 {
		m.left -= n
	}
	switch {
	case err == nil:
		return n, nil
	case err != io.EOF:
		m.broken = err
		return n, err
	case n > 0:
		return n, nil
	case m.ended || len(p) < len(lineEnd):
		return 0, errEnd
	}
	m.ended = true
	return copy(p, lineEnd), nil
}

// lineEnd is added at the end of a body, because the last boundary may come without it.
const lineEnd = "\r\n"

// explain turns an error of the standard reader into a fault, or returns the body's own error.
func (m *meter) explain(err error, where string) error {
	switch {
	case m.broken != nil:
		return m.broken
	case errors.Is(err, errHeader):
		return Faultf("%s: its header has more than %d bytes; send a shorter one", where, maxPartHeader)
	case errors.Is(err, errEnd), errors.Is(err, io.ErrUnexpectedEOF):
		return Faultf("%s: the multipart body ends without its last boundary; send it whole", where)
	}
	return Faultf("%s: the multipart body is malformed (%s); check its boundaries and headers", where, clip(err.Error()))
}

// content reads the content of a part. explain has translated its errors.
type content struct {
	part  *multipart.Part
	meter *meter
	where string
}

// Read implements io.Reader.
func (c *content) Read(p []byte) (int, error) {
	n, err := c.part.Read(p)
	if err != nil && err != io.EOF { //nolint:errorlint // returned bare
		err = c.meter.explain(err, c.where)
	}
	return n, err
}
