package main

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"davit/e2e/bench/figure"
)

// bench is the session and the bare Jobs, which every part uses.
type bench struct {
	*session

	bare *bareJobs
}

// firstCalls makes one call of f and one bare Job, so that the image is on the node and clients are connected. It
// returns the pattern of bare Jobs.
func (b *bench) firstCalls(ctx context.Context, f *function) (*batchv1.Job, error) {
	if _, _, err := f.call(ctx, nil); err != nil {
		return nil, err
	}
	pattern, err := b.bare.like(ctx, f.name)
	if err != nil {
		return nil, err
	}
	if _, _, err := b.bare.firstByte(ctx, pattern); err != nil {
		return nil, err
	}
	return pattern, b.settle(ctx)
}

// atOnce calls do n times at the same time, records how long all took together, and waits until their pods have ended.
func (b *bench) atOnce(ctx context.Context, n int, into *figure.Sample, do func(context.Context) error) error {
	if err := atOnce(ctx, n, into, do); err != nil {
		return err
	}
	b.trace("%d at once %v", n, into.Times[len(into.Times)-1].Round(time.Millisecond))
	return b.settle(ctx)
}

// crowd is the largest number of callers, and the number of the warm runner's slots.
const crowd = 16

// warm registers a function with one warm runner and starts a floor in a pod of the same size. The nodes then have room
// for more such pods.
func (b *bench) warm(ctx context.Context, name string, more int64, triggers ...trigger) (f *function, floor *server, err error) {
	spec, err := b.sized(ctx, fmt.Sprintf(`"mode": "warm", "warm": {"min": 1, "max": 1, "concurrency": %d}`, crowd), 1+more)
	if err != nil {
		return nil, nil, err
	}
	if f, err = b.register(ctx, name, spec, triggers...); err != nil {
		return nil, nil, err
	}
	pattern, err := b.bare.like(ctx, f.name)
	if err != nil {
		return nil, nil, err
	}
	floor, err = b.bare.serve(ctx, pattern, "floor")
	return f, floor, err
}

// hop starts a server in a pod that forwards every request to the floor, because every gateway whose runners are other
// pods has that cost.
func (b *bench) hop(ctx context.Context, f *function, floor *server) (*server, error) {
	pattern, err := b.bare.like(ctx, f.name)
	if err != nil {
		return nil, err
	}
	pod, err := b.core.Pods(bareNamespace).Get(ctx, floor.name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	return b.bare.serve(ctx, pattern, "hop", "-hop", net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(serverPort)))
}

func (b *bench) end(ctx context.Context, f *function, floor *server) error {
	if err := floor.stop(ctx); err != nil {
		return err
	}
	return b.unregister(ctx, f.name)
}
