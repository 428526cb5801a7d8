// Package e2e tests Davit whole: the real programs, started as a user starts
// them, spoken to over HTTP, killed, stopped and restarted. rig starts the
// programs; bench measures them. Start at world_test.go; the files kube_… are
// those on a Kubernetes, and kube_world_test.go says how they are run.
package e2e
