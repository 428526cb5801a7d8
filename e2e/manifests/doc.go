// Package manifests holds what stands in the folder manifests, as kustomize renders it, to what Davit promises, without
// a cluster. It is a module of its own, so that Davit's does not need kustomize.
//
// Start at render_test.go; reach_test.go reads the network policies as a cluster would.
package manifests
