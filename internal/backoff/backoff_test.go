package backoff

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestWaits(t *testing.T) {
	for _, c := range []struct {
		name string
		b    Backoff
		want []time.Duration
	}{
		{"doubles up to its most", Backoff{Min: time.Second, Max: 5 * time.Second}, []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 5 * time.Second, 5 * time.Second}},
		{"at once, then a tenth", Backoff{Max: time.Second}, []time.Duration{0, 100 * time.Millisecond, 200 * time.Millisecond}},
		{"never above its most", Backoff{Min: time.Minute, Max: time.Second}, []time.Duration{time.Second, time.Second}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var got []time.Duration
				for range c.want {
					began := time.Now()
					if err := c.b.Wait(t.Context()); err != nil {
						t.Fatal(err)
					}
					got = append(got, time.Since(began))
				}
				if !slices.Equal(got, c.want) {
					t.Errorf("waited %v, want %v", got, c.want)
				}
				c.b.Reset()
				if first := c.b.Next(); first != c.want[0] {
					t.Errorf("after Reset waits %v, want %v", first, c.want[0])
				}
			})
		})
	}
}

// With Spread, a wait is between half and one and a half of what it would be.
func TestSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := map[time.Duration]bool{}
		for range 50 {
			b := Backoff{Min: time.Second, Max: time.Minute, Spread: true}
			began := time.Now()
			if err := b.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			waited := time.Since(began)
			seen[waited] = true
			if waited < time.Second/2 || waited >= 3*time.Second/2 {
				t.Errorf("waited %v", waited)
			}
			if next := b.Next(); next != 2*time.Second {
				t.Errorf("the next wait is %v", next)
			}
		}
		if len(seen) < 2 {
			t.Errorf("all waits took %v", seen)
		}
	})
}

// A wait ends with its context, whose cause it returns.
func TestPauseEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		enough := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(enough) })
		began := time.Now()
		if err := Pause(ctx, time.Hour); !errors.Is(err, enough) || time.Since(began) != time.Second {
			t.Errorf("Pause returned %v after %v, want %v after 1s", err, time.Since(began), enough)
		}
		if err := Pause(ctx, 0); !errors.Is(err, enough) {
			t.Errorf("Pause without a duration returned %v, want %v", err, enough)
		}
	})
}
