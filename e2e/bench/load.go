package main

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

// target is a URL and what is posted to it.
type target struct {
	url         string
	contentType string
	body        []byte
}

// sample is what one target took.
type sample struct {
	times []time.Duration
	wall  time.Duration
}

func (s *sample) quantile(q float64) float64 {
	slices.Sort(s.times)
	i := min(int(q*float64(len(s.times))), len(s.times)-1)
	return float64(s.times[i].Microseconds()) / 1000
}

func (s *sample) rate() float64 { return float64(len(s.times)) / s.wall.Seconds() }

// turns is in how many turns the two targets take their time.
const turns = 8

// compare loads two targets in turns, so that both see the same machine.
func compare(davit, floor target, callers int, each time.Duration) (d, f *sample, err error) {
	d, f = &sample{}, &sample{}
	client := &fasthttp.Client{MaxConnsPerHost: 2 * callers, MaxResponseBodySize: 1 << 30}
	defer client.CloseIdleConnections()
	if err := errors.Join(load(client, davit, callers, 300*time.Millisecond, &sample{}), load(client, floor, callers, 300*time.Millisecond, &sample{})); err != nil {
		return nil, nil, err
	}
	for range turns {
		if err := load(client, davit, callers, each/turns, d); err != nil {
			return nil, nil, err
		}
		if err := load(client, floor, callers, each/turns, f); err != nil {
			return nil, nil, err
		}
	}
	return d, f, nil
}

// load calls a target from so many callers for so long.
func load(client *fasthttp.Client, t target, callers int, long time.Duration, into *sample) error {
	var mu sync.Mutex
	var wg sync.WaitGroup
	var failed error
	began := time.Now()
	for range callers {
		wg.Go(func() {
			times, err := callUntil(client, t, began.Add(long))
			mu.Lock()
			defer mu.Unlock()
			into.times = append(into.times, times...)
			failed = errors.Join(failed, err)
		})
	}
	wg.Wait()
	into.wall += time.Since(began)
	return failed
}

func callUntil(client *fasthttp.Client, t target, end time.Time) ([]time.Duration, error) {
	var times []time.Duration
	req, res := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	defer fasthttp.ReleaseResponse(res)
	for time.Now().Before(end) {
		req.Reset()
		req.SetRequestURI(t.url)
		req.Header.SetMethod(fasthttp.MethodPost)
		req.Header.SetContentType(t.contentType)
		req.SetBodyRaw(t.body)
		began := time.Now()
		if err := client.Do(req, res); err != nil {
			return times, fmt.Errorf("call %s: %w", t.url, err)
		}
		times = append(times, time.Since(began))
		if res.StatusCode() != fasthttp.StatusOK {
			return times, fmt.Errorf("call %s: status %d: %.300s", t.url, res.StatusCode(), res.Body())
		}
	}
	return times, nil
}
