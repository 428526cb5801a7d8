package redisstore

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"davit/internal/faas"
)

// retryAfter is how long a caller should wait before it tries again if Redis is unavailable.
const retryAfter = 2 * time.Second

// unavailableReplies are the beginnings of the replies of a Redis that answers but cannot serve now.
func unavailableReplies() []string {
	return []string{
		"OOM ", "READONLY ", "LOADING ", "MISCONF ", "MASTERDOWN ", "CLUSTERDOWN ", "TRYAGAIN ", "NOREPLICAS ", "BUSY ",
		"NOAUTH ", "WRONGPASS ", "NOPERM ", "ERR max number of clients",
	}
}

// translate returns an error of the client as a *faas.Error without the password.
func translate(err error, password string) error {
	if err == nil {
		return nil
	}
	if own, ok := errors.AsType[*faas.Error](err); ok {
		return own
	}
	cause := redact(err, password)
	reply, isReply := errors.AsType[redis.Error](err)
	if !isReply {
		return unavailable("Redis does not answer", cause)
	}
	for _, prefix := range unavailableReplies() {
		if strings.HasPrefix(reply.Error(), prefix) {
			return unavailable("Redis does not take requests", cause)
		}
	}
	return &faas.Error{Kind: faas.Internal, Detail: "Redis refused a command", Err: cause}
}

func unavailable(what string, cause error) *faas.Error {
	return faas.UnavailableError(what+"; try again in a moment", retryAfter, cause)
}

// redact removes the password from an error, because a server may quote it.
func redact(err error, password string) error {
	if password == "" || !strings.Contains(err.Error(), password) {
		return err
	}
	return errors.New(strings.ReplaceAll(err.Error(), password, "***"))
}

// errEmpty returns the error of an operation on a registry that is not open yet.
func errEmpty() error {
	return &faas.Error{
		Kind: faas.Unavailable, RetryAfter: retryAfter, Err: faas.ErrEmpty,
		Detail: "the registrations are being restored from the store; try again in a moment",
	}
}

// errReply returns the error for a reply that does not have the documented form.
func errReply(got any) error {
	return &faas.Error{Kind: faas.Internal, Detail: "Redis gave an answer that cannot be read", Err: fmt.Errorf("got %v", got)}
}
