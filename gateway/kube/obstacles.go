package kube

import (
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// obstacles is since when which pods have been kept from running, and by what.
type obstacles struct {
	patience time.Duration // with a pod that no node has room for

	mu              sync.Mutex
	pods            map[types.UID]*obstructed // pods that are not deleted
	capacityChanged time.Time                 // when a pod was last scheduled or ended
}

// obstructed is a pod that has not ended.
type obstructed struct {
	scheduled bool      // the pod has a node
	kind      string    // of the obstacle; "": none
	since     time.Time // when the obstacle was first seen
}

func newObstacles(patience time.Duration) *obstacles {
	return &obstacles{patience: patience, pods: map[types.UID]*obstructed{}}
}

// lastTooLong reports whether an obstacle has kept a pod from running for longer than the obstacle's limit, and returns
// the cause.
func (s *obstacles) lastTooLong(p *corev1.Pod, now time.Time) (f exitCause, tooLong bool) {
	why := whyStuck(p, s.patience)
	s.mu.Lock()
	defer s.mu.Unlock()
	pod := s.pods[p.UID]
	if pod == nil {
		pod = &obstructed{}
		s.pods[p.UID] = pod
	}
	if p.Spec.NodeName != "" && !pod.scheduled {
		pod.scheduled, s.capacityChanged = true, now
	}
	if why == nil {
		pod.kind = ""
		return exitCause{}, false
	}
	if pod.kind != why.kind {
		pod.kind, pod.since = why.kind, now
	}
	since := pod.since
	if why.shared && s.capacityChanged.After(since) {
		since = s.capacityChanged
	}
	return why.exitCause, now.Sub(since) >= why.limit
}

// addCapacity records that a pod has ended: another one may fit now.
func (s *obstacles) addCapacity(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.capacityChanged = now
}

// remove removes a deleted pod.
func (s *obstacles) remove(pod types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.pods, pod)
}
