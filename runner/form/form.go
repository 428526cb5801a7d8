// Package form reads the input of a call: path and query become fields, a body becomes fields and files while it
// streams in. It checks declared fields. It does not know where files are kept, and runs nothing. The error for a bad
// input is a *Fault that names the part or field and says how to correct it. Start at Input.
//
// Values keep their bytes. In a query and a urlencoded body only "&" separates fields, "+" is a space, and every "%"
// comes with two hex digits. In a multipart body a part with a file name is a file, any other part a field; transfer
// encodings are not decoded. A JSON body is parsed only if fields are declared: its declared members become fields, a
// string with its text, another scalar with its JSON text; null counts as missing.
package form

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strings"

	"davit/internal/text"
)

// The limits of an input. The limit of the whole body is the task's MaxBody, which this package does not check.
const (
	MaxParts      = 10_000  // fields and files
	MaxValueBytes = 1 << 20 // of one field
	MaxTextBytes  = 8 << 20 // of all names and values, and of a JSON or urlencoded body
	MaxNameBytes  = 1 << 10 // of a field's name
	maxPartHeader = 64 << 10
	maxBoundary   = 70 // RFC 2046, 5.1.1
	maxJSONDepth  = 100
	copyBytes     = 64 << 10
)

// BodyName is the name of the file, and of its field, with the content of a body that is not a form.
const BodyName = "body"

// Field is one value of a field.
type Field struct{ Name, Value string }

// File is one uploaded file, kept in the workspace under Name.
type File struct {
	Field       string // its form field
	Name        string
	Size        int64
	ContentType string
}

// Creator stores files. Create makes a file for a name that the caller sent, and returns the file's name in the
// workspace. The error for a refused name is a *Fault.
type Creator interface {
	Create(name string) (file io.WriteCloser, kept string, err error)
}

// Fault says what is wrong with an input and how to correct it.
type Fault struct{ Detail string }

// Error returns the detail.
func (f *Fault) Error() string { return f.Detail }

// Faultf returns a Fault whose detail is formatted.
func Faultf(format string, args ...any) *Fault {
	return &Fault{Detail: fmt.Sprintf(format, args...)}
}

// Input is the fields of a call in order of arrival (path, query, body), and its files.
type Input struct {
	Fields []Field
	Files  []File

	creator   Creator
	textBytes int
	buffer    *bufio.Writer
}

// New returns an empty input whose files go to creator.
func New(creator Creator) *Input { return &Input{creator: creator} }

// keep writes a file and adds it.
func (in *Input) keep(f File, from io.Reader) error {
	if err := in.count(); err != nil {
		return err
	}
	file, kept, err := in.creator.Create(f.Name)
	if err != nil {
		return err
	}
	f.Name = kept
	f.Size, err = in.copy(file, from)
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	in.Files = append(in.Files, f)
	return nil
}

// copy copies in large writes, because parts come in small reads.
func (in *Input) copy(to io.Writer, from io.Reader) (int64, error) {
	if all, is := from.(*bytes.Reader); is {
		return all.WriteTo(to)
	}
	if in.buffer == nil {
		in.buffer = bufio.NewWriterSize(nil, copyBytes)
	}
	in.buffer.Reset(struct{ io.Writer }{to}) // hides a file's ReadFrom, which would write each read by itself
	n, err := in.buffer.ReadFrom(from)
	if flushed := in.buffer.Flush(); err == nil {
		err = flushed
	}
	in.buffer.Reset(nil)
	return n, err
}

// count counts a field or file, and refuses more than MaxParts.
func (in *Input) count() error {
	if len(in.Fields)+len(in.Files) >= MaxParts {
		return Faultf("more than %d fields and files; send fewer, or one archive", MaxParts)
	}
	return nil
}

// add adds a field.
func (in *Input) add(name, value string) error {
	if err := in.count(); err != nil {
		return err
	}
	if fault := checkField(name, value); fault != nil {
		return fault
	}
	in.textBytes += len(name) + len(value)
	if in.textBytes > MaxTextBytes {
		return Faultf("the fields have more than %d bytes together, at %q; send large values as files", MaxTextBytes, clip(name))
	}
	in.Fields = append(in.Fields, Field{Name: name, Value: value})
	return nil
}

func checkField(name, value string) *Fault {
	switch {
	case name == "":
		return Faultf("a field has no name; send name=value")
	case len(name) > MaxNameBytes:
		return Faultf("the field name %q has %d bytes; at most %d are allowed", clip(name), len(name), MaxNameBytes)
	case strings.IndexByte(name, 0) >= 0:
		return Faultf("the field name %q contains a NUL byte; leave it out", clip(name))
	case strings.IndexByte(value, 0) >= 0:
		return Faultf("field %q contains a NUL byte, which no argument can carry; send the value as a file", clip(name))
	case len(value) > MaxValueBytes:
		return tooLong(name)
	}
	return nil
}

func tooLong(name string) *Fault {
	return Faultf("field %q has more than %d bytes; send the value as a file", clip(name), MaxValueBytes)
}

func clip(s string) string { return text.Clip(s, 80) }
