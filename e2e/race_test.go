//go:build race

package e2e

// buildFlags returns -race, so that the programs have the race detector if the tests have it.
func buildFlags() []string { return []string{"-race"} }
