package kube

import (
	"errors"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"davit/internal/faas"
)

// retryAfter is the delay that a caller is asked to wait after the API server refused a request or did not answer.
const retryAfter = 5 * time.Second

// refusal turns an error of the API server into a faas.Error of kind Unavailable that callers may read. It returns nil
// and any faas.Error unchanged.
func refusal(what string, err error) error {
	var known *faas.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	var status apierrors.APIStatus
	e := &faas.Error{Kind: faas.Unavailable, RetryAfter: retryAfter, Err: err}
	switch {
	case !errors.As(err, &status):
		e.Detail = what + ", because the Kubernetes API server does not answer"
	case isQuota(err.Error()):
		e.Detail = what + ", because the cluster's quota is used up: " + status.Status().Message
	case apierrors.IsForbidden(err), apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		e.Detail = what + ", because the cluster refuses it: " + status.Status().Message
	case apierrors.IsNotFound(err):
		e.Detail = what + ", because the namespace of functions does not exist: " + status.Status().Message
	default:
		e.Detail = what + ", because the Kubernetes API server cannot handle the request now"
	}
	return e
}

// isOutage reports whether err, which refusal or the gateway returned, means that the API server or Redis does not
// answer: requests about other objects would wait and fail too. Any other error is about one object.
func isOutage(err error) bool {
	var status apierrors.APIStatus
	return faas.IsUnavailable(err) && !errors.As(err, &status)
}

func isQuota(message string) bool { return strings.Contains(message, "exceeded quota") }
