package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// server is the floor of calls that find a slot: e2e/bench/floor in a pod like a function's, behind a NodePort like
// Davit's.
type server struct {
	*bareJobs

	name, address string
}

const serverPort = 8080

// serve starts a server in a pod like the pattern's, and waits until it answers. It has not forked by then.
func (j *bareJobs) serve(ctx context.Context, pattern *batchv1.Job, name string, args ...string) (*server, error) {
	named := map[string]string{"app.kubernetes.io/name": name}
	spec := *pattern.Spec.Template.Spec.DeepCopy()
	c := &spec.Containers[0]
	c.Command = append([]string{"/function/davit-bench", "-floor", ":" + strconv.Itoa(serverPort)}, args...)
	c.Stdin = true // it runs until standard input ends
	// It may use as much CPU as a runner, but requests almost none, so that the runners fit on the node.
	c.Resources.Requests[corev1.ResourceCPU] = *resource.NewMilliQuantity(1, resource.DecimalSI)
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: bareNamespace, Labels: named}, Spec: spec}
	if _, err := j.core.Pods(bareNamespace).Create(ctx, pod, metav1.CreateOptions{}); err != nil {
		return nil, fmt.Errorf("start the floor: %w", err)
	}
	service, err := j.core.Services(bareNamespace).Create(ctx, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: bareNamespace},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeNodePort, Selector: named,
			Ports: []corev1.ServicePort{{Port: serverPort, TargetPort: intstr.FromInt32(serverPort)}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("start the floor: %w", err)
	}
	s := &server{bareJobs: j, name: name, address: net.JoinHostPort(j.node, strconv.Itoa(int(service.Spec.Ports[0].NodePort)))}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		_, err := s.call(ctx, "ready")
		if err == nil {
			return s, nil
		}
		if pause(ctx) != nil {
			return nil, fmt.Errorf("wait until the pod %s answers: %w", name, err)
		}
	}
}

func (s *server) url(path string) string { return "http://" + s.address + "/" + path }

// call calls the server once.
func (s *server) call(ctx context.Context, path string) (time.Duration, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url(path), http.NoBody)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return 0, err
	}
	if res.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("call %s: %s", s.url(path), res.Status)
	}
	return time.Since(began), nil
}

// stop removes the server, and waits until its pod has ended.
func (s *server) stop(ctx context.Context) error {
	now := int64(0)
	if err := s.core.Services(bareNamespace).Delete(ctx, s.name, metav1.DeleteOptions{}); err != nil {
		return fmt.Errorf("stop the floor: %w", err)
	}
	if err := s.core.Pods(bareNamespace).Delete(ctx, s.name, metav1.DeleteOptions{GracePeriodSeconds: &now}); err != nil {
		return fmt.Errorf("stop the floor: %w", err)
	}
	return nil
}
