package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"davit/internal/faas"
)

// message is one message of the daemon's answer to a build, pull or push.
type message struct {
	Stream string `json:"stream"`
	Status string `json:"status"`
	ID     string `json:"id"`
	Error  string `json:"error"`
	Detail *struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	} `json:"errorDetail"`
	Aux *struct {
		ID     string `json:"ID"`     // of the built image
		Digest string `json:"Digest"` // of the pushed image
	} `json:"aux"`
}

// failure returns the error in a message, which may be in either of two fields.
func (m *message) failure() error {
	if m.Detail != nil && (m.Detail.Message != "" || m.Detail.Code != 0) {
		return &streamError{message: m.Detail.Message, code: m.Detail.Code}
	}
	if m.Error != "" {
		return &streamError{message: m.Error}
	}
	return nil
}

// follow calls each with every message until the answer ends, a message has an error, or each returns one. An answer
// that breaks off is an error, too.
func follow(ctx context.Context, r io.Reader, each func(*message) error) error {
	d := json.NewDecoder(r)
	for {
		var m message
		err := d.Decode(&m)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return fmt.Errorf("read the daemon's answer: %w", err)
		}
		if err := m.failure(); err != nil {
			return err
		}
		if err := each(&m); err != nil {
			return err
		}
	}
}

// steps reads the answer to a build: it writes output to the log and collects the ids of the images that were made.
type steps struct {
	log     io.Writer
	left    faas.Bytes // bytes that may still be written to the log
	bounded bool
	from    bool // the step is a FROM, whose image the build did not make
	image   string
	made    []string
}

// internalLine matches the lines in which the daemon names its images and containers, which users need not see.
var internalLine = regexp.MustCompile(`^(?: ---> (?:\[Warning\] IPv4 forwarding is disabled.*|Running in |Using cache)?([0-9a-f]{12})?|(?: ---> Removed|Removing) intermediate container [0-9a-f]{12}|Successfully (?:built|tagged) \S+)\n$`)

func newSteps(log io.Writer, most faas.Bytes) *steps {
	return &steps{log: log, left: most, bounded: most > 0}
}

var errOutput = errors.New("the log is full")

func (s *steps) message(m *message) error {
	if m.Aux != nil && m.Aux.ID != "" {
		s.image = m.Aux.ID
	}
	if found := internalLine.FindStringSubmatch(m.Stream); found != nil {
		if found[1] != "" && !s.from && !strings.Contains(m.Stream, "Running in") {
			s.made = append(s.made, found[1])
		}
		return nil
	}
	text := m.Stream
	if m.Status != "" && m.ID == "" {
		text = m.Status + "\n"
	}
	if step, is := strings.CutPrefix(text, "Step "); is {
		_, instruction, _ := strings.Cut(step, " : ")
		s.from = strings.HasPrefix(strings.ToUpper(instruction), "FROM")
	}
	if s.bounded && faas.Bytes(len(text)) > s.left {
		return errOutput
	}
	s.left -= faas.Bytes(len(text))
	_, _ = io.WriteString(s.log, text)
	return nil
}
