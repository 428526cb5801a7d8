// Package load calls URLs from many callers for a while, two URLs alternately, so that both have the same machine.
// Start at [Compare].
package load

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"davit/e2e/bench/figure"
)

// Target is a URL and the body that is posted to it.
type Target struct {
	URL         string
	Among       []string // if set, each call uses one of these instead of URL
	ContentType string
	Body        []byte
}

func (t *Target) next() string {
	if len(t.Among) == 0 {
		return t.URL
	}
	return t.Among[rand.IntN(len(t.Among))] //nolint:gosec // a benchmark's
}

const (
	// turns is how many times the two targets alternate.
	turns = 8
	// warmUp is how long each target is called before the measurement.
	warmUp = 300 * time.Millisecond
)

// Compare calls two targets alternately, each for the time each in all.
func Compare(davit, floor Target, callers int, each time.Duration) (d, f *figure.Sample, err error) {
	d, f = &figure.Sample{}, &figure.Sample{}
	client := &fasthttp.Client{MaxConnsPerHost: 2 * callers, MaxResponseBodySize: 1 << 30}
	defer client.CloseIdleConnections()
	if err := errors.Join(call(client, davit, callers, warmUp, &figure.Sample{}), call(client, floor, callers, warmUp, &figure.Sample{})); err != nil {
		return nil, nil, err
	}
	for range turns {
		if err := call(client, davit, callers, each/turns, d); err != nil {
			return nil, nil, err
		}
		if err := call(client, floor, callers, each/turns, f); err != nil {
			return nil, nil, err
		}
	}
	return d, f, nil
}

// call calls a target from so many callers for the time long.
func call(client *fasthttp.Client, t Target, callers int, long time.Duration, into *figure.Sample) error {
	var mu sync.Mutex
	var wg sync.WaitGroup
	var failed error
	began := time.Now()
	for range callers {
		wg.Go(func() {
			times, err := callUntil(client, t, began.Add(long))
			mu.Lock()
			defer mu.Unlock()
			into.Times = append(into.Times, times...)
			failed = errors.Join(failed, err)
		})
	}
	wg.Wait()
	into.Wall += time.Since(began)
	return failed
}

func callUntil(client *fasthttp.Client, t Target, end time.Time) ([]time.Duration, error) {
	var times []time.Duration
	req, res := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	defer fasthttp.ReleaseResponse(res)
	for time.Now().Before(end) {
		req.Reset()
		req.SetRequestURI(t.next())
		req.Header.SetMethod(fasthttp.MethodPost)
		req.Header.SetContentType(t.ContentType)
		req.SetBodyRaw(t.Body)
		began := time.Now()
		if err := client.Do(req, res); err != nil {
			return times, fmt.Errorf("call %s: %w", t.URL, err)
		}
		times = append(times, time.Since(began))
		if res.StatusCode() != fasthttp.StatusOK {
			return times, fmt.Errorf("call %s: status %d: %.300s", t.URL, res.StatusCode(), res.Body())
		}
	}
	return times, nil
}
