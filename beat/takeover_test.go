package beat_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/beat"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/internal/wire"
)

// crew are beats on one queue's schedules.
type crew struct {
	t    *testing.T
	rdb  redis.UniversalClient
	q    keys.Queue
	read string // position in the stream
}

func newCrew(t *testing.T, rdb redis.UniversalClient) *crew {
	return &crew{t: t, rdb: rdb, q: keys.Queue(redistest.Queue(t)), read: "0-0"}
}

func (c *crew) schedule(id, spec string, change ...func(*beat.Schedule)) beat.Schedule {
	c.t.Helper()
	m, err := seri.NewMessage("report", []byte("{}"), seri.Queue(string(c.q)))
	if err != nil {
		c.t.Fatal(err)
	}
	s, err := beat.NewSchedule(id, spec, nil, m)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, ch := range change {
		ch(&s)
	}
	return s
}

// start runs a beat, and returns what stops it and waits for its end.
func (c *crew) start(lease time.Duration, schedules ...beat.Schedule) (stop func()) {
	c.t.Helper()
	b, err := beat.New(c.rdb, schedules, beat.Config{Lock: string(c.q), Lease: lease, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(c.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			c.t.Error(err)
		}
	}
}

// fired waits for the next events of schedules.
func (c *crew) fired() (events []*seri.ScheduleEvent) {
	c.t.Helper()
	for len(events) == 0 {
		streams, err := c.rdb.XRead(c.t.Context(), &redis.XReadArgs{Streams: []string{c.q.Events(), c.read}, Block: 30 * time.Second}).Result()
		if err != nil {
			c.t.Fatal(err)
		}
		for _, entry := range streams[0].Messages {
			c.read = entry.ID
			text, _ := entry.Values["e"].(string)
			decoded, err := wire.DecodeEvents(string(c.q), text)
			if err != nil {
				c.t.Fatal(err)
			}
			for _, e := range decoded {
				if e.Kind == seri.EventScheduleFired {
					events = append(events, e.Data.Schedule)
				}
			}
		}
	}
	return events
}

func (c *crew) noDoubles() {
	c.t.Helper()
	ids := c.rdb.LRange(c.t.Context(), c.q.Pending(), 0, -1).Val()
	slices.Sort(ids)
	if unique := slices.Compact(slices.Clone(ids)); len(unique) != len(ids) {
		c.t.Errorf("%d tasks, but only %d ticks: %v", len(ids), len(unique), ids)
	}
}

// Three beats on one Redis, of which the leader is stopped again and again: each tick is enqueued once.
func TestBeatsTakeOverWithoutLosingOrDoublingATick(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := newCrew(t, rdb)
		s := c.schedule("s", "@every 1s", func(s *beat.Schedule) { s.Catchup = beat.CatchupAll })
		start := func() func() { return c.start(300*time.Millisecond, s) }
		stops := []func(){start(), start(), start()}

		var ticks []time.Time
		for len(ticks) < 4 {
			for _, e := range c.fired() {
				ticks = append(ticks, e.Tick)
			}
			stops[0]()
			stops = append(stops[1:], start())
		}
		for _, stop := range stops {
			stop()
		}

		for i := 1; i < len(ticks); i++ {
			if gap := ticks[i].Sub(ticks[i-1]); gap != time.Second {
				t.Errorf("tick %s follows %s", ticks[i], ticks[i-1])
			}
		}
		c.noDoubles()
	})
}

func TestTicksGoOnAfterRedisWasRestarted(t *testing.T) {
	t.Parallel()
	server := redistest.Exclusive(t, "--appendonly", "yes", "--appendfsync", "always")
	c := newCrew(t, server.Client())
	every := c.schedule("s", "@every 1s", func(s *beat.Schedule) { s.Catchup = beat.CatchupAll })
	stops := []func(){c.start(300*time.Millisecond, every), c.start(300*time.Millisecond, every)}
	seen := make(map[time.Time]int)
	var last time.Time
	watch := func(n int) {
		for range n {
			for _, e := range c.fired() {
				seen[e.Tick]++
				last = e.Tick
			}
		}
	}
	watch(2)
	before := last

	server.Kill()
	server.Start()
	watch(3)

	for _, stop := range stops {
		stop()
	}
	for tick := before; tick.Before(last); tick = tick.Add(time.Second) {
		if seen[tick] != 1 {
			t.Errorf("tick %s was fired %d times", tick, seen[tick])
		}
	}
	c.noDoubles()
}

func TestTenThousandSchedulesDueInTheSameSecond(t *testing.T) {
	t.Parallel()
	const schedules = 10_000
	c := newCrew(t, redistest.Exclusive(t).Client())
	all := make([]beat.Schedule, schedules)
	for i := range all {
		all[i] = c.schedule(fmt.Sprintf("s%d", i), "@every 10s", func(s *beat.Schedule) { s.Catchup = beat.CatchupAll })
	}
	stops := []func(){c.start(2*time.Second, all...), c.start(2*time.Second, all...)}

	seen, first := make(map[string]bool), time.Time{}
	for n := 0; n < schedules; {
		for _, e := range c.fired() {
			if seen[e.Task] || e.Late < 0 {
				t.Fatalf("fired %+v, before: %t", e, seen[e.Task])
			}
			seen[e.Task] = true
			if first.IsZero() {
				first = e.Tick
			}
			if e.Tick.Equal(first) {
				n++
			}
		}
	}

	for _, stop := range stops {
		stop()
	}
	c.noDoubles()
}

// What the file says, what is on record, and what a beat without a file reads there, are the same.
func TestABeatWithoutAFileServesWhatIsInRedis(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, rdb redis.UniversalClient) {
		c := newCrew(t, rdb)
		stop := c.start(300*time.Millisecond, c.schedule("s", "@every 1s", func(s *beat.Schedule) { s.Task.Payload = []byte(`{"n":1.10}`) }))
		c.fired()
		stop()

		stop = c.start(300 * time.Millisecond) // nil
		e := c.fired()[0]
		stop()

		message := rdb.HGet(t.Context(), c.q.Task(e.Task), "msg").Val()
		if !strings.Contains(message, `{"n":1.10}`) {
			t.Errorf("the task is %q", message)
		}
	})
}
