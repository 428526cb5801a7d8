//go:build race

package e2e

// buildFlags: programs under the race detector, when the tests are.
func buildFlags() []string { return []string{"-race"} }
