package main

import (
	"fmt"
	"strings"
)

// workload has the fields of a Deployment, StatefulSet or Job that show whether it is ready.
type workload struct {
	Kind     string
	Metadata struct {
		Name, Namespace string
		Generation      int64
	}
	Spec   struct{ Replicas *int32 }
	Status struct {
		ObservedGeneration                     int64
		UpdatedReplicas, ReadyReplicas         int32
		Replicas, AvailableReplicas, Succeeded int32
		CurrentRevision, UpdateRevision        string
		Conditions                             []condition
	}
}

type condition struct {
	Type, Status, Reason, Message string
}

func (w *workload) String() string { return strings.ToLower(w.Kind) + "/" + w.Metadata.Name }

// isReady reports whether all replicas of the last applied version are ready, or whether the Job has succeeded.
func (w *workload) isReady() bool {
	s := &w.Status
	if w.Kind == "Job" {
		return s.Succeeded > 0
	}
	want := int32(1)
	if w.Spec.Replicas != nil {
		want = *w.Spec.Replicas
	}
	current := s.ObservedGeneration >= w.Metadata.Generation && s.UpdatedReplicas == want && s.Replicas == want && s.ReadyReplicas == want
	if w.Kind == "Deployment" {
		return current && s.AvailableReplicas == want
	}
	// A StatefulSet does not count replicas as updated if none had to be.
	return s.ObservedGeneration >= w.Metadata.Generation && s.ReadyReplicas == want && s.CurrentRevision == s.UpdateRevision
}

// failure returns why a Job has failed; "" if it has not.
func (w *workload) failure() string {
	for _, c := range w.Status.Conditions {
		if w.Kind == "Job" && c.Type == "Failed" && c.Status == "True" {
			return fmt.Sprintf("%s: %s", c.Reason, c.Message)
		}
	}
	return ""
}

// pod has the fields of a Pod that show why it is not ready.
type pod struct {
	Metadata struct {
		Name, Namespace   string
		DeletionTimestamp *string
	}
	Status struct {
		Phase                                    string
		Conditions                               []condition
		InitContainerStatuses, ContainerStatuses []container
	}
}

type container struct {
	Name         string
	Ready        bool
	RestartCount int
	State        state
	LastState    state
}

type state struct {
	Waiting    *struct{ Reason, Message string }
	Running    *struct{ StartedAt string }
	Terminated *struct {
		Reason, Message string
		ExitCode        int
	}
}

// troubles returns why a pod is not ready; none if it is ready or has ended. If they are not explained, the cause may
// be in its events.
func (p *pod) troubles() (found []string, explained bool) {
	if p.Status.Phase == "Succeeded" || p.Metadata.DeletionTimestamp != nil {
		return nil, true
	}
	for _, c := range p.Status.Conditions {
		if c.Type == "PodScheduled" && c.Status == "False" {
			found, explained = append(found, "no node accepts it: "+c.Message), true
		}
	}
	for _, c := range append(p.Status.InitContainerStatuses, p.Status.ContainerStatuses...) {
		if t := c.trouble(); t != "" {
			found = append(found, "container "+c.Name+": "+t)
			explained = explained || c.LastState.Terminated != nil || c.State.Running == nil && (c.State.Waiting == nil || c.State.Waiting.Message != "")
		}
	}
	return found, explained
}

func (c *container) trouble() string {
	last := ""
	if t := c.LastState.Terminated; t != nil {
		last = fmt.Sprintf("; it ended %d times, last with exit code %d: %s", c.RestartCount, t.ExitCode, lastLines(t.Message))
	}
	switch t := c.State.Terminated; {
	case c.Ready || t != nil && t.ExitCode == 0, c.State.Waiting != nil && c.State.Waiting.Reason == "PodInitializing":
		return ""
	case c.State.Waiting != nil && c.State.Waiting.Message != "":
		return c.State.Waiting.Reason + ": " + c.State.Waiting.Message + last
	case c.State.Waiting != nil:
		return "waits: " + c.State.Waiting.Reason + last
	case t != nil:
		return fmt.Sprintf("ended with exit code %d: %s", t.ExitCode, lastLines(t.Message))
	}
	return "runs, and is not ready" + last
}

// lastLines returns the end of a message, on one line.
func lastLines(message string) string {
	const most = 300
	message = strings.Join(strings.Fields(message), " ")
	if len(message) > most {
		message = "…" + strings.ToValidUTF8(message[len(message)-most:], "")
	}
	return message
}
