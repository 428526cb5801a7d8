// Package e2e tests Davit as a whole. The tests start the real programs as a user does, call them over HTTP, and kill,
// stop and restart them. Package rig starts the programs; package bench measures them. Start at world_test.go. The
// tests in the files kube_… need a Kubernetes; kube_world_test.go says how to run them.
package e2e
