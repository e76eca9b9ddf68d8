package beat

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestTheClockIsRedisClockAsFarAsItIsKnown(t *testing.T) {
	t.Parallel()
	type look struct {
		there, back time.Duration // of the call
		step        time.Duration // of Redis' clock, before it
		behind      time.Duration // how far this clock is behind Redis' afterwards
	}
	const ms = time.Millisecond
	for name, looks := range map[string][]look{
		"it is behind by the way back": {{3 * ms, 2 * ms, 0, 2 * ms}},
		"a faster look counts":         {{3 * ms, 20 * ms, 0, 20 * ms}, {ms, ms, 0, ms}},
		"a slower one does not":        {{ms, ms, 0, ms}, {30 * ms, 50 * ms, 0, ms}},
		"a step forward is seen":       {{ms, ms, 0, ms}, {5 * ms, 5 * ms, time.Hour, 5 * ms}},
		"a step back is seen":          {{ms, ms, 0, ms}, {5 * ms, 5 * ms, -time.Hour, 5 * ms}},
		"a fast one does not count for ever": {
			{ms, ms, 0, ms}, {50 * ms, 50 * ms, 0, ms}, {50 * ms, 50 * ms, 0, ms}, {50 * ms, 50 * ms, 0, ms}, {50 * ms, 50 * ms, 0, ms}, {50 * ms, 50 * ms, 0, 50 * ms},
		},
		"a small one by the next fast one": {{ms, ms, 0, ms}, {5 * ms, 5 * ms, -4 * ms, -3 * ms}, {ms, ms, 0, ms}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var steps time.Duration
				var l look
				c := clock{read: func(context.Context) (time.Time, error) {
					time.Sleep(l.there)
					read := time.Now().Add(steps)
					time.Sleep(l.back)
					return read, nil
				}}
				for _, l = range looks {
					steps += l.step
					time.Sleep(time.Second)
					if err := c.sync(t.Context()); err != nil {
						t.Fatal(err)
					}
					time.Sleep(time.Second)

					if behind := time.Now().Add(steps).Sub(c.now()); behind != l.behind {
						t.Errorf("it is %v behind, want %v", behind, l.behind)
					}
				}
			})
		})
	}
}
