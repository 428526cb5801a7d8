// Package kube brings runners up as pods of a Kubernetes cluster, one Job for each, and tells why they are gone.
//
// It holds no state that is not in the cluster as well: what runs, and what became of it, is read from one watch per kind, so
// that a gateway that starts, or another one beside it, sees the same. It does not wait until a Job or pod is ready: runners
// dial in by themselves, and whoever wants one waits at the hub. It does not build images and never reads a Secret.
//
// Every way of starting is a Job, the reused warm runners too: one that is drained ends for good, where a Deployment would start it
// again, more slowly each time, and would choose by itself which one ends.
//
// Start at [Launcher]. pod.go says what a pod may be, fate.go tells the ends of pods apart, sweep.go removes what nobody needs.
package kube
