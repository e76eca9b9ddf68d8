package meter

import (
	"context"
	"sync/atomic"
)

// Beat counts what a beat does.
type Beat struct {
	Leads    atomic.Bool
	Denied   atomic.Int64 // queues
	Lateness Histogram
	Ticks    struct{ Enqueued, Exists, Waits, LeftOut, Paused Counter }
}

// Measure implements [Source].
func (b *Beat) Measure(_ context.Context, report Report) {
	leads := 0.0
	if b.Leads.Load() {
		leads = 1
	}
	report.Value(BeatLeads, leads)
	report.Value(BeatDenied, float64(b.Denied.Load()))
	report.Histogram(BeatLateness, b.Lateness.Snapshot())
	report.Value(BeatTicks, b.Ticks.Enqueued.Load(), "enqueued")
	report.Value(BeatTicks, b.Ticks.Exists.Load(), "exists")
	report.Value(BeatTicks, b.Ticks.Waits.Load(), "waits")
	report.Value(BeatTicks, b.Ticks.LeftOut.Load(), "left_out")
	report.Value(BeatTicks, b.Ticks.Paused.Load(), "paused")
}

// Hub counts what passes through a hub of events.
type Hub struct {
	Subscribers atomic.Int64
	Entries     Counter // of streams
	Lost        Counter
	Dropped     Counter // subscriptions
	Forgone     Counter // events, by subscriptions that are not cut
}

// Measure implements [Source].
func (h *Hub) Measure(_ context.Context, report Report) {
	report.Value(Subscribers, float64(h.Subscribers.Load()))
	report.Value(Events, h.Entries.Load())
	report.Value(EventsLost, h.Lost.Load())
	report.Value(SubscribersEnded, h.Dropped.Load())
	report.Value(EventsForgone, h.Forgone.Load())
}
