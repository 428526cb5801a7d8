//go:build !race

package e2e

// buildFlags returns no flags: the programs are built as for users.
func buildFlags() []string { return nil }
