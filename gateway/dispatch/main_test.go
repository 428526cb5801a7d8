package dispatch_test

import (
	"testing"

	"davit/gateway/dispatch/dispatchtest"
)

// TestMain makes the test binary a runner where it is started as one.
func TestMain(m *testing.M) { dispatchtest.Main(m) }
