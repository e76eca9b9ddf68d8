package wire

import (
	"slices"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
)

// CloudEventID returns the ID of an event's CloudEvent. position is its "<entry>:<index>" in its stream.
func CloudEventID(e *seri.Event, position string) string {
	if e.Data.Schedule != nil {
		return e.Queue + "/" + position
	}
	return string(keys.Queue(e.Queue).Partition(e.Partition)) + "/" + position
}

// CloudEventType returns the type of an event's CloudEvent.
func CloudEventType(e *seri.Event) string {
	if e.Data.Schedule != nil {
		return "dev.seri." + string(e.Kind)
	}
	return "dev.seri.task." + string(e.Kind)
}

// CloudEventSubject returns the subject of an event's CloudEvent: the ID of its task or schedule.
func CloudEventSubject(e *seri.Event) string {
	if e.Data.Schedule != nil {
		return e.Data.Schedule.ID
	}
	return e.Task
}

// AppendCloudEvent appends the [CloudEvent] of an event, with a [TaskEvent] or a [ScheduleEvent] in it, as json.Marshal
// encodes them. It has no cursor: that belongs to a subscription, and the event to many. (It is written by hand, because there
// is one for every event that somebody watches.) It fails if the result is no JSON or a time is beyond the year 9999.
func AppendCloudEvent(b []byte, e *seri.Event, position string) ([]byte, error) {
	o := object{b: slices.Grow(b, roomFor(e, position))}
	o.text(`{"specversion":"1.0","id":`, CloudEventID(e, position))
	o.text(`,"source":`, "/v1/queues/"+e.Queue)
	o.text(`,"type":`, CloudEventType(e))
	o.optionalText(`,"subject":`, CloudEventSubject(e))
	o.time(`,"time":`, e.Time.UTC())
	o.raw(`,"datacontenttype":"application/json"`)
	if e.Data.Schedule != nil {
		o.scheduleEvent(e)
	} else {
		o.taskEvent(e)
	}
	o.raw(`}}`)
	return o.b, o.err
}

// roomFor returns about how many bytes an event's CloudEvent takes: seldom less, and not many more.
func roomFor(e *seri.Event, position string) int {
	d := &e.Data
	n := 352 + len(position) + 3*len(e.Queue) + 2*len(e.Task) + len(e.Type) + len(e.Owner) + len(d.Worker) + len(d.Error) + len(d.Result)
	if d.Progress != nil {
		n += len(d.Progress.Message)
	}
	return n
}

// WithCursor adds a cursor, in whose text JSON escapes nothing, to a CloudEvent that is encoded without one: in place if there is
// room for it.
func WithCursor(event []byte, cursor string) []byte {
	b := append(event[:len(event)-len("}")], `,"cursor":"`...)
	b = append(b, cursor...)
	return append(b, `"}`...)
}

func (o *object) taskEvent(e *seri.Event) {
	d := &e.Data
	o.natural(`,"sequence":"`, e.Seq)
	o.text(`","data":{"task":`, e.Task)
	o.text(`,"type":`, e.Type)
	o.text(`,"queue":`, e.Queue)
	o.optionalNumber(`,"partition":`, int64(e.Partition))
	o.optionalText(`,"owner":`, e.Owner)
	o.text(`,"state":`, string(e.State()))
	o.natural(`,"seq":`, e.Seq)
	o.optionalNumber(`,"attempt":`, int64(d.Attempt))
	o.optionalText(`,"worker":`, d.Worker)
	o.optionalProgress(`,"progress":`, d.Progress)
	o.optionalTime(`,"due_at":`, d.Due)
	o.optionalText(`,"error":`, d.Error)
	o.optionalText(`,"reason":`, string(d.Reason))
	o.optionalValue(`,"result":`, d.Result)
	o.optionalFlag(`,"truncated":`, d.Truncated)
}

func (o *object) optionalProgress(name string, p *seri.ProgressInfo) {
	if p == nil {
		return
	}
	o.raw(name)
	o.number(`{"done":`, p.Done)
	o.number(`,"total":`, p.Total)
	o.optionalText(`,"message":`, p.Message)
	o.raw(`}`)
}

func (o *object) scheduleEvent(e *seri.Event) {
	s := e.Data.Schedule
	o.text(`,"data":{"schedule":`, s.ID)
	o.text(`,"queue":`, e.Queue)
	o.optionalText(`,"task":`, s.Task)
	o.optionalTime(`,"tick":`, s.Tick)
	if e.Kind == seri.EventScheduleFired {
		o.number(`,"late_ms":`, s.Late.Milliseconds())
	}
	o.optionalNumber(`,"count":`, s.Count)
	o.optionalFlag(`,"more":`, s.More)
	o.optionalTime(`,"first":`, s.First)
	o.optionalTime(`,"last":`, s.Last)
	o.optionalText(`,"reason":`, string(s.Reason))
	o.optionalText(`,"note":`, s.Note)
}
