//go:build !all

package blob_test

import (
	"testing"

	"davit/internal/testenv"
)

func servers() map[string]func(testing.TB) *testenv.S3Server {
	return map[string]func(testing.TB) *testenv.S3Server{"versitygw": testenv.Versity}
}
