package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"davit/internal/backoff"
)

// wait returns when all workloads are ready. After the deadline the error names those that are not, and why.
func (d *deployment) wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, d.patience)
	defer cancel()
	const pause = time.Second
	reported := ""
	for {
		open, err := d.unready(ctx)
		if err != nil && ctx.Err() == nil {
			return err
		}
		if err == nil && len(open) == 0 {
			d.logf("all is ready")
			return nil
		}
		if now := strings.Join(open, ", "); now != reported && now != "" {
			d.logf("waiting for %s", now)
			reported = now
		}
		if backoff.Pause(ctx, pause) != nil {
			return d.timeoutError(context.WithoutCancel(ctx), ctx.Err(), reported)
		}
	}
}

// unready returns the workloads that are not ready. A failed Job is an error.
func (d *deployment) unready(ctx context.Context) ([]string, error) {
	var open []string
	for _, ns := range namespaces() {
		var all struct{ Items []workload }
		if err := d.kubectl.get(ctx, &all, "deployments,statefulsets,jobs", "--namespace="+ns, "--selector=app.kubernetes.io/part-of=davit"); err != nil {
			return nil, err
		}
		for _, w := range all.Items {
			if why := w.failure(); why != "" {
				return nil, d.jobError(context.WithoutCancel(ctx), &w, why)
			}
			if !w.isReady() {
				open = append(open, w.String())
			}
		}
	}
	slices.Sort(open)
	return open, nil
}

// jobError returns an error for a failed Job, with the end of its log.
func (d *deployment) jobError(ctx context.Context, w *workload, why string) error {
	output, err := d.kubectl.run(ctx, "logs", "--namespace="+w.Metadata.Namespace, "--tail=5", w.String())
	if err != nil {
		return fmt.Errorf("%s failed: %s; its log cannot be read: %w", w, why, err)
	}
	return fmt.Errorf("%s failed: %s\n%s", w, why, strings.TrimSpace(string(output)))
}

// timeoutError returns an error with the cause for each pod that is not ready: from its status, or else its last
// warnings.
func (d *deployment) timeoutError(ctx context.Context, cause error, open string) error {
	if errors.Is(cause, context.Canceled) {
		return cause
	}
	lines := []string{fmt.Sprintf("after %v these are not ready: %s", d.patience, open)}
	for _, ns := range namespaces() {
		var pods struct{ Items []pod }
		if err := d.kubectl.get(ctx, &pods, "pods", "--namespace="+ns, "--selector=app.kubernetes.io/part-of=davit"); err != nil {
			return errors.Join(errors.New(lines[0]), err)
		}
		for _, p := range pods.Items {
			troubles, explained := p.troubles()
			if len(troubles) > 0 && !explained {
				troubles = append(troubles, d.warnings(ctx, ns, "involvedObject.name="+p.Metadata.Name)...)
			}
			for _, t := range troubles {
				lines = append(lines, fmt.Sprintf("  pod %s/%s: %s", ns, p.Metadata.Name, t))
			}
		}
		// Pods that could not be created have warnings about their owners.
		for _, w := range d.warnings(ctx, ns, "involvedObject.kind!=Pod") {
			lines = append(lines, fmt.Sprintf("  namespace %s: %s", ns, w))
		}
	}
	return errors.New(strings.Join(lines, "\n"))
}

// warnings returns the last warning events about the objects that the field selector finds.
func (d *deployment) warnings(ctx context.Context, ns, fields string) []string {
	var events struct {
		Items []struct {
			Reason, Message string
			InvolvedObject  struct{ Kind, Name string }
		}
	}
	const most = 2
	err := d.kubectl.get(ctx, &events, "events", "--namespace="+ns, "--sort-by=.lastTimestamp", "--field-selector=type=Warning,"+fields)
	if err != nil {
		return []string{err.Error()}
	}
	var found []string
	for _, e := range events.Items[max(0, len(events.Items)-most):] {
		found = append(found, fmt.Sprintf("%s (%s/%s): %s", e.Reason, strings.ToLower(e.InvolvedObject.Kind), e.InvolvedObject.Name, lastLines(e.Message)))
	}
	return found
}
