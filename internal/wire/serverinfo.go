package wire

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// ServerInfo is what a running worker process tells about itself: the value of asynq:servers:{host:pid:id}.
// The numbers are those of the protobuf fields.
type ServerInfo struct {
	Host           string         // 1
	PID            int            // 2
	ID             string         // 3; random for each start
	Concurrency    int            // 4; most tasks at once
	Queues         map[string]int // 5; name to priority
	StrictPriority bool           // 6; a queue is served only while all of higher priority are empty
	Status         string         // 7; "new", "active", "stopped" or "closed"
	Started        time.Time      // 8; zero only if the field is absent or says so
	ActiveWorkers  int            // 9; tasks running now
	Fenced         bool           // 1000; not asynq's, and ignored by it: Seri's workers set it, whose writes are fenced
}

// Encode returns s in asynq's encoding. It cannot fail; see the package comment for what is repaired.
func (s *ServerInfo) Encode() []byte {
	var b []byte
	b = appendText(b, 1, validUTF8(s.Host))
	b = appendInt(b, 2, clampInt32(s.PID))
	b = appendText(b, 3, validUTF8(s.ID))
	b = appendInt(b, 4, clampInt32(s.Concurrency))
	for _, name := range slices.Sorted(maps.Keys(s.Queues)) {
		queue, priority := validUTF8(name), uint64(clampInt32(s.Queues[name]))
		b = protowire.AppendTag(b, 5, protowire.BytesType)
		b = protowire.AppendVarint(b, uint64(tagSize+protowire.SizeBytes(len(queue))+tagSize+protowire.SizeVarint(priority)))
		b = protowire.AppendString(protowire.AppendTag(b, 1, protowire.BytesType), queue)
		b = protowire.AppendVarint(protowire.AppendTag(b, 2, protowire.VarintType), priority)
	}
	if s.StrictPriority {
		b = appendInt(b, 6, 1)
	}
	b = appendText(b, 7, validUTF8(s.Status))
	b = appendTime(b, 8, s.Started)
	b = appendInt(b, 9, clampInt32(s.ActiveWorkers))
	if s.Fenced {
		b = appendInt(b, 1000, 1)
	}
	return b
}

// DecodeServerInfo decodes what asynq or [ServerInfo.Encode] has written, as strictly as [DecodeMessage].
// It keeps no part of b.
func DecodeServerInfo(b []byte) (ServerInfo, error) {
	var s ServerInfo
	var started timestamp
	for len(b) > 0 {
		var f field
		var err error
		if f, b, err = nextField(b); err != nil {
			return ServerInfo{}, fmt.Errorf("decode server info: %w", err)
		}
		switch f.number {
		case 1:
			err = f.text(&s.Host)
		case 2:
			f.int32(&s.PID)
		case 3:
			err = f.text(&s.ID)
		case 4:
			f.int32(&s.Concurrency)
		case 5:
			err = f.priority(&s.Queues)
		case 6:
			f.bool(&s.StrictPriority)
		case 7:
			err = f.text(&s.Status)
		case 8:
			err = f.time(&started)
		case 9:
			f.int32(&s.ActiveWorkers)
		case 1000:
			f.bool(&s.Fenced)
		}
		if err != nil {
			return ServerInfo{}, fmt.Errorf("decode server info: field %d: %w", f.number, err)
		}
	}
	s.Started = started.time()
	return s, nil
}

// WorkerInfo describes one running task: a value of the hash asynq:workers:{host:pid:id}, whose field is the task's ID.
// asynq calls each running task a worker. The numbers are those of the protobuf fields.
type WorkerInfo struct {
	Host     string    // 1
	PID      int       // 2
	ServerID string    // 3; the [ServerInfo.ID] of its process; Inspector joins by it
	TaskID   string    // 4
	TaskType string    // 5
	Payload  []byte    // 6; nil if empty
	Queue    string    // 7
	Started  time.Time // 8; zero only if the field is absent or says so
	Deadline time.Time // 9; of this attempt; as Started
}

// Encode returns w in asynq's encoding. It cannot fail; see the package comment for what is repaired.
func (w *WorkerInfo) Encode() []byte {
	var b []byte
	b = appendText(b, 1, validUTF8(w.Host))
	b = appendInt(b, 2, clampInt32(w.PID))
	b = appendText(b, 3, validUTF8(w.ServerID))
	b = appendText(b, 4, validUTF8(w.TaskID))
	b = appendText(b, 5, validUTF8(w.TaskType))
	b = appendBytes(b, 6, w.Payload)
	b = appendText(b, 7, validUTF8(w.Queue))
	b = appendTime(b, 8, w.Started)
	return appendTime(b, 9, w.Deadline)
}

// DecodeWorkerInfo decodes what asynq or [WorkerInfo.Encode] has written, as strictly as [DecodeMessage].
// The payload is a part of b, not a copy.
func DecodeWorkerInfo(b []byte) (WorkerInfo, error) {
	var w WorkerInfo
	var started, deadline timestamp
	for len(b) > 0 {
		var f field
		var err error
		if f, b, err = nextField(b); err != nil {
			return WorkerInfo{}, fmt.Errorf("decode worker info: %w", err)
		}
		switch f.number {
		case 1:
			err = f.text(&w.Host)
		case 2:
			f.int32(&w.PID)
		case 3:
			err = f.text(&w.ServerID)
		case 4:
			err = f.text(&w.TaskID)
		case 5:
			err = f.text(&w.TaskType)
		case 6:
			f.data(&w.Payload)
		case 7:
			err = f.text(&w.Queue)
		case 8:
			err = f.time(&started)
		case 9:
			err = f.time(&deadline)
		}
		if err != nil {
			return WorkerInfo{}, fmt.Errorf("decode worker info: field %d: %w", f.number, err)
		}
	}
	w.Started, w.Deadline = started.time(), deadline.time()
	return w, nil
}

func (f field) bool(to *bool) {
	if f.kind == protowire.VarintType {
		*to = protowire.DecodeBool(f.varint)
	}
}

func (f field) priority(to *map[string]int) error {
	if f.kind != protowire.BytesType {
		return nil
	}
	var queue string
	var priority int
	for b := f.bytes; len(b) > 0; {
		var entry field
		var err error
		if entry, b, err = nextField(b); err != nil {
			return err
		}
		switch entry.number {
		case 1:
			if err := entry.text(&queue); err != nil {
				return err
			}
		case 2:
			entry.int32(&priority)
		}
	}
	if *to == nil {
		*to = make(map[string]int)
	}
	(*to)[queue] = priority
	return nil
}

// timestamp is a google.protobuf.Timestamp. If a field of this type comes twice, the two are merged, as protobuf has it.
type timestamp struct {
	present bool
	seconds int64
	nanos   int
}

// time returns the zero time if the field was absent. (asynq would say 1970, but always writes the field.)
func (t timestamp) time() time.Time {
	if !t.present {
		return time.Time{}
	}
	return time.Unix(t.seconds, int64(t.nanos)).UTC()
}

func (f field) time(to *timestamp) error {
	if f.kind != protowire.BytesType {
		return nil
	}
	to.present = true
	for b := f.bytes; len(b) > 0; {
		var part field
		var err error
		if part, b, err = nextField(b); err != nil {
			return err
		}
		switch part.number {
		case 1:
			part.int64(&to.seconds)
		case 2:
			part.int32(&to.nanos)
		}
	}
	return nil
}

// appendTime writes t even if it is zero, as asynq does: its readers turn an absent time into 1970.
func appendTime(b []byte, number protowire.Number, t time.Time) []byte {
	seconds, nanos := t.Unix(), int64(t.Nanosecond())
	size := 0
	for _, n := range [...]int64{seconds, nanos} {
		if n != 0 {
			size += tagSize + protowire.SizeVarint(uint64(n))
		}
	}
	b = protowire.AppendTag(b, number, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(size))
	b = appendInt(b, 1, seconds)
	return appendInt(b, 2, nanos)
}
