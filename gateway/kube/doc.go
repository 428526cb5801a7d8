// Package kube is the launcher that starts runners as pods of a Kubernetes cluster, one Job for each runner, and
// reports why a runner ended.
//
// All state of the package is in the cluster as well: the package reads the Jobs and pods, and how they end, from one
// watch per kind. A gateway that starts, or another gateway of the same namespace, reads the same state. The package
// does not wait until a Job or pod is ready: a runner dials in at the hub, and a call waits there. It does not build
// images and never reads a Secret.
//
// A warm runner is a Job too, because a drained runner must end for good. A Deployment would start it again, more
// slowly each time, and would itself choose which runner ends.
//
// Start at [Launcher]. view is what the watches have reported, reporter handles their events and reports how runners
// end, obstacles finds the pods that do not start, deletions deletes Jobs, secrets writes Secrets, and sweeper deletes
// orphans. pod.go makes the pods, exit.go finds why a pod ended or does not start.
package kube
