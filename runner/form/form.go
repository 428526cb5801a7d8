// Package form reads what a caller sent: path and query become fields, a body
// becomes fields and files while it streams in. It checks declared fields, and it
// neither knows where files are kept nor runs anything. What is wrong with an
// input is a *Fault that names the part or field and says how to mend it. Start
// at Input.
//
// Values keep their bytes. In a query and a urlencoded body only "&" separates,
// "+" is a space and every "%" must begin a byte. In multipart bodies a part with
// a file name is a file, any other a field; transfer encodings are not decoded. A
// JSON body is read only when fields are declared: of its members the declared
// ones become fields, a string as it is, another scalar as its JSON text, null as
// if it were missing.
package form

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strings"

	"davit/internal/text"
)

// The limits of an input. MaxBody is the task's and not checked here.
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

// BodyName is the name of the file that holds a body that is no form, and of its field.
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

// Keeper keeps files. Create makes one under a name that the caller gave and says
// under which it is kept; a name that cannot be is a *Fault.
type Keeper interface {
	Create(name string) (file io.WriteCloser, kept string, err error)
}

// Fault says what is wrong with an input and how to mend it.
type Fault struct{ Detail string }

// Error returns the detail.
func (f *Fault) Error() string { return f.Detail }

// Faultf returns a Fault whose detail is formatted.
func Faultf(format string, args ...any) *Fault {
	return &Fault{Detail: fmt.Sprintf(format, args...)}
}

// Input is what a call brings to its command: fields in order of arrival (path,
// query, body), and files.
type Input struct {
	Fields []Field
	Files  []File

	keeper    Keeper
	textBytes int
	buffer    *bufio.Writer
}

// New returns an empty input whose files go to keeper.
func New(keeper Keeper) *Input { return &Input{keeper: keeper} }

// keep writes a file and adds it.
func (in *Input) keep(f File, from io.Reader) error {
	if err := in.count(); err != nil {
		return err
	}
	file, kept, err := in.keeper.Create(f.Name)
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

// copy writes in large pieces: parts come in small ones.
func (in *Input) copy(to io.Writer, from io.Reader) (int64, error) {
	if all, is := from.(*bytes.Reader); is {
		return all.WriteTo(to)
	}
	if in.buffer == nil {
		in.buffer = bufio.NewWriterSize(nil, copyBytes)
	}
	in.buffer.Reset(struct{ io.Writer }{to}) // a file's own ReadFrom would write each piece as it comes
	n, err := in.buffer.ReadFrom(from)
	if flushed := in.buffer.Flush(); err == nil {
		err = flushed
	}
	in.buffer.Reset(nil)
	return n, err
}

// count refuses one field or file too many.
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
		return Faultf("the field name %q holds a NUL byte; leave it out", clip(name))
	case strings.IndexByte(value, 0) >= 0:
		return Faultf("field %q holds a NUL byte, which no argument can carry; send the value as a file", clip(name))
	case len(value) > MaxValueBytes:
		return tooLong(name)
	}
	return nil
}

func tooLong(name string) *Fault {
	return Faultf("field %q has more than %d bytes; send the value as a file", clip(name), MaxValueBytes)
}

func clip(s string) string { return text.Clip(s, 80) }
