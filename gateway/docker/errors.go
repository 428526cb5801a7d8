package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"davit/internal/archive"
	"davit/internal/faas"
)

// streamError is an error that the daemon reports within an answer that began with status 200.
type streamError struct {
	message string
	code    int // exit code of the step that failed; 0 if none did
}

func (e *streamError) Error() string { return e.message }

// codeKilled is the exit code of a command that was killed by SIGKILL.
const codeKilled = 128 + 9

// explain turns an error of step what into one that users may read. If ctx has ended, it returns ctx's cause.
func explain(ctx context.Context, what string, err error) error {
	var known *faas.Error
	var refusal *archive.Refusal
	switch {
	case errors.As(err, &known):
		return err
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", what, context.Cause(ctx))
	case errors.As(err, &refusal):
		return &faas.Error{Kind: faas.BuildFailed, Detail: refusal.Error(), Err: err}
	case isDaemonUnavailable(err):
		return &faas.Error{Kind: faas.Unavailable, Detail: "the Docker daemon is away; send the function again when it is back", Err: err}
	}
	if failure := daemonError(err); failure != nil {
		return &faas.Error{Kind: faas.BuildFailed, Detail: plainMessage(failure.message), Err: err}
	}
	return fmt.Errorf("%s: %w", what, err)
}

// daemonError returns what the daemon says is wrong with a request, or nil if err is not an answer of the daemon. The
// client gives each answer other than a success one of these kinds.
func daemonError(err error) *streamError {
	var failure *streamError
	if errors.As(err, &failure) {
		return failure
	}
	for _, is := range []func(error) bool{
		errdefs.IsInvalidArgument, errdefs.IsNotFound, errdefs.IsConflict, errdefs.IsInternal, errdefs.IsUnauthorized, errdefs.IsPermissionDenied,
		errdefs.IsFailedPrecondition, errdefs.IsResourceExhausted, errdefs.IsNotImplemented, errdefs.IsUnavailable, errdefs.IsNotModified,
	} {
		if is(err) {
			return &streamError{message: err.Error()}
		}
	}
	return nil
}

// unknownID is in the error of a daemon about an image that another client removes at the same time.
const unknownID = "unrecognized image ID"

// isImageGone reports whether a build failed because an image was removed meanwhile, for example by another gateway.
func isImageGone(err error) bool {
	failure := daemonError(err)
	return failure != nil && containsAny(failure.message, []string{"No such image", "unable to find image", "layer does not exist", "no such layer", unknownID})
}

// isDaemonUnavailable reports whether the daemon cannot be reached, or the connection broke within an answer.
func isDaemonUnavailable(err error) bool {
	var n net.Error
	return client.IsErrConnectionFailed(err) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) ||
		errors.Is(err, net.ErrClosed) || errors.As(err, &n)
}

// byDaemon begins the text of an error that the client makes of the daemon's answer.
const byDaemon = "Error response from daemon: "

// plainMessage returns a daemon's message without the prefix of the client.
func plainMessage(message string) string {
	if i := strings.LastIndex(message, byDaemon); i >= 0 {
		message = message[i+len(byDaemon):]
	}
	return strings.TrimSpace(message)
}

// unavailableMarks are in the errors of a daemon that cannot reach a registry.
func unavailableMarks() []string {
	return []string{
		"connection refused", "connection reset", "no such host", "i/o timeout", "TLS handshake timeout", "Client.Timeout",
		"context deadline exceeded", "network is unreachable", "no route to host", "server misbehaving", ": EOF", "unexpected EOF",
		"Temporary failure in name resolution", "502 Bad Gateway", "503 Service Unavailable", "504 Gateway", "500 Internal Server Error",
		"received unexpected HTTP status: 5", "server gave HTTP response to HTTPS client",
	}
}

func isRegistryUnavailable(message string) bool { return containsAny(message, unavailableMarks()) }

func containsAny(text string, marks []string) bool {
	for _, mark := range marks {
		if strings.Contains(text, mark) {
			return true
		}
	}
	return false
}

// noSpace is in the errors of a daemon whose disk is full.
const noSpace = "no space left on device"

// stepError explains why a step failed; command is the name of the step for users.
func (w *work) stepError(command string, err error) error {
	failure := daemonError(err)
	if failure == nil {
		return err
	}
	detail := fmt.Sprintf("%s failed: %s", command, plainMessage(failure.message))
	switch {
	case strings.Contains(failure.message, noSpace):
		detail = command + " failed: there is no space left where images are built"
	case failure.code == codeKilled && w.opts.Memory > 0:
		detail = fmt.Sprintf("%s was killed: it may have needed more than the %s of memory that a build has", command, w.opts.Memory)
	case failure.code != 0 && strings.Contains(failure.message, "returned a non-zero code"):
		detail = fmt.Sprintf("%s failed with exit code %d: the end of the build log says why (%s)", command, failure.code, plainMessage(failure.message))
	case strings.Contains(failure.message, "/bin/sh") && strings.Contains(failure.message, "no such file"):
		detail = command + " failed: the image has no /bin/sh to run it"
	}
	return &faas.Error{Kind: faas.BuildFailed, Detail: detail, Err: err}
}
