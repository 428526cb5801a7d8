// Package e2e tests Davit whole: the real programs, started as a user starts
// them, spoken to over HTTP, killed, stopped and restarted. rig starts the
// programs; bench measures them. Start at world_test.go.
package e2e
