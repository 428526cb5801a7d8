package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"davit/e2e/bench/figure"
)

// part is one group of measurements, with its own functions.
type part struct {
	name    string
	measure func(context.Context, *bench) ([]figure.Row, error)
}

func parts() []part {
	return []part{
		{"jobs", measureJobs},
		{"many", measureMany},
		{"standby", measureStandby},
		{"warm", measureWarm},
		{"zero", measureZero},
		{"bursts", measureBursts},
		{"depth", measureDepth},
		{"pool", measurePool},
		{"results", measureResults},
	}
}

func partNames() []string {
	var names []string
	for _, p := range parts() {
		names = append(names, p.name)
	}
	return names
}

// cleanWithin is how long clean may take.
const cleanWithin = 2 * time.Minute

// run measures everything. With an error it returns the rows so far.
func run(ctx context.Context, o *options) (rows []figure.Row, err error) {
	p, err := findCluster(ctx, o)
	if err != nil {
		return nil, err
	}
	s := &session{options: *o, cluster: p}
	if s.listener, err = listen(ctx, p.host); err != nil {
		return nil, err
	}
	defer s.listener.close()
	if err := s.clean(ctx); err != nil {
		return nil, err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanWithin)
		defer cancel()
		err = errors.Join(err, s.clean(ctx))
	}()
	b := &bench{session: s}
	if b.bare, err = newBareJobs(ctx, s); err != nil {
		return nil, err
	}
	for _, part := range parts() {
		if o.only != nil && !o.only[part.name] {
			continue
		}
		if err := b.vacate(ctx); err != nil {
			return rows, err
		}
		began := time.Now()
		more, err := part.measure(ctx, b)
		rows = append(rows, more...)
		if err != nil {
			return rows, fmt.Errorf("measure %s: %w", part.name, err)
		}
		b.say("%s: %v", part.name, time.Since(began).Round(time.Second))
	}
	return rows, nil
}

// clean removes the functions, Jobs and the namespace of this program, also of an earlier run.
func (s *session) clean(ctx context.Context) error {
	return errors.Join(s.removeFunctions(ctx), s.removeJobs(ctx), removeNamespace(ctx, s.cluster))
}

func (s *session) removeFunctions(ctx context.Context) error {
	a, err := s.davit.Admin(ctx, http.MethodGet, "/v1/functions?limit=1000", "", nil)
	if err != nil {
		return err
	}
	var list struct {
		Items []struct {
			Name string `json:"name"`
		} `json:"items"`
	}
	if err := a.JSON(&list); err != nil {
		return err
	}
	for _, item := range list.Items {
		if strings.HasPrefix(item.Name, ours) {
			err = errors.Join(err, s.unregister(ctx, item.Name))
		}
	}
	return err
}

// removeJobs removes the ended Jobs that Davit has made for the functions, because Davit keeps them for some minutes.
func (s *session) removeJobs(ctx context.Context) error {
	jobs, err := s.batch.Jobs(s.functions).List(ctx, metav1.ListOptions{LabelSelector: labelFunction})
	if err != nil {
		return err
	}
	background := metav1.DeletePropagationBackground
	for i := range jobs.Items {
		if job := &jobs.Items[i]; strings.HasPrefix(job.Labels[labelFunction], ours) {
			if e := s.batch.Jobs(s.functions).Delete(ctx, job.Name, metav1.DeleteOptions{PropagationPolicy: &background}); e != nil && !apierrors.IsNotFound(e) {
				err = errors.Join(err, fmt.Errorf("remove Job %s: %w", job.Name, e))
			}
		}
	}
	return err
}

// removeNamespace removes the namespace with all its objects, and waits until it is gone.
func removeNamespace(ctx context.Context, p *cluster) error {
	namespaces := p.core.Namespaces()
	for {
		err := namespaces.Delete(ctx, bareNamespace, metav1.DeleteOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err != nil && !apierrors.IsConflict(err) {
			return fmt.Errorf("remove the namespace %s: %w", bareNamespace, err)
		}
		if err := pause(ctx); err != nil {
			return fmt.Errorf("wait until the namespace %s is gone: %w", bareNamespace, err)
		}
	}
}
