package api

import (
	"net/http"
	"testing"
)

func described(t *testing.T, req *http.Request, a *answer) {}
