// Package manifests checks the folder manifests, as kustomize renders it, without a cluster. It is a separate module,
// so that Davit's module does not need kustomize.
//
// Start at render_test.go. reach_test.go evaluates the network policies as a cluster does.
package manifests
