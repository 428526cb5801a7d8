//go:build !race

package e2e

// buildFlags: programs as users run them.
func buildFlags() []string { return nil }
