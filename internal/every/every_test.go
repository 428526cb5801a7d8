package every

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestInterval(t *testing.T) {
	const s = time.Second
	for _, c := range []struct {
		name  string
		run   func(context.Context, time.Duration, func(context.Context))
		ends  time.Duration // when ctx ends
		takes time.Duration // how long a call takes
		want  []time.Duration
	}{
		{"first after one period", Interval, 35 * s, 0, []time.Duration{10 * s, 20 * s, 30 * s}},
		{"first at once", NowAndInterval, 35 * s, 0, []time.Duration{0, 10 * s, 20 * s, 30 * s}},
		{"calls shorter than a period", Interval, 35 * s, 9 * s, []time.Duration{10 * s, 20 * s, 30 * s}},
		{"calls longer than a period", Interval, 75 * s, 25 * s, []time.Duration{10 * s, 35 * s, 60 * s}},
		{"calls longer than a period, first at once", NowAndInterval, 60 * s, 25 * s, []time.Duration{0, 25 * s, 50 * s}},
		{"ended before the first", Interval, 5 * s, 0, nil},
		{"ended before it began", Interval, 0, 0, nil},
		{"ended before it began, first at once", NowAndInterval, 0, 0, []time.Duration{0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				ctx, cancel := context.WithDeadline(t.Context(), began.Add(c.ends))
				defer cancel()
				var got []time.Duration
				c.run(ctx, 10*s, func(given context.Context) {
					if given != ctx {
						t.Error("called with another context")
					}
					got = append(got, time.Since(began))
					<-time.After(c.takes)
				})
				if !slices.Equal(got, c.want) {
					t.Errorf("called at %v, want %v", got, c.want)
				}
			})
		})
	}
}
