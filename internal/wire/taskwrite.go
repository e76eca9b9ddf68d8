package wire

import (
	"encoding/base64"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"
)

// task appends a [Task], as a snapshot shows it.
func (o *object) task(t *Task) {
	o.text(`{"id":`, t.ID)
	o.text(`,"type":`, t.Type)
	o.text(`,"queue":`, t.Queue)
	o.optionalNumber(`,"partition":`, int64(t.Partition))
	o.optionalText(`,"owner":`, t.Owner)
	o.text(`,"state":`, string(t.State))
	o.optionalText(`,"reason":`, string(t.Reason))
	o.optionalValue(`,"payload":`, t.Payload)
	if len(t.PayloadBase64) > 0 {
		o.raw(`,"payload_base64":"`)
		o.b = base64.StdEncoding.AppendEncode(o.b, t.PayloadBase64)
		o.raw(`"`)
	}
	if len(t.Headers) > 0 {
		o.headers(t.Headers)
	}
	o.number(`,"attempt":`, int64(t.Attempt))
	o.number(`,"max_retries":`, int64(t.MaxRetries))
	o.optionalNumber(`,"crashes":`, int64(t.Crashes))
	if t.Timeout != 0 {
		o.seconds(`,"timeout":`, t.Timeout)
	}
	o.seconds(`,"retention":`, t.Retention)
	o.optionalProgress(`,"progress":`, t.Progress)
	o.optionalValue(`,"result":`, t.Result)
	o.optionalText(`,"error":`, t.Error)
	o.pointedTime(`,"enqueued_at":`, t.EnqueuedAt)
	o.pointedTime(`,"due_at":`, t.DueAt)
	o.pointedTime(`,"started_at":`, t.StartedAt)
	o.pointedTime(`,"finished_at":`, t.FinishedAt)
	o.pointedTime(`,"expires_at":`, t.ExpiresAt)
	o.pointedTime(`,"deadline":`, t.Deadline)
	o.natural(`,"seq":`, t.Seq)
	o.raw(`}`)
}

// room returns about how many bytes the task takes.
func (t *Task) room() int {
	n := 384 + len(t.ID) + len(t.Type) + len(t.Queue) + len(t.Owner) + len(t.Payload) + base64.StdEncoding.EncodedLen(len(t.PayloadBase64)) + len(t.Result) + len(t.Error)
	for name, value := range t.Headers {
		n += len(`"":"",`) + len(name) + len(value)
	}
	return n
}

// headers appends them in the order of their names.
func (o *object) headers(headers map[string]string) {
	o.raw(`,"headers":{`)
	for i, name := range slices.Sorted(maps.Keys(headers)) {
		o.text(comma(i), name)
		o.text(`:`, headers[name])
	}
	o.raw(`}`)
}

// seconds appends a number; those that are very large or small, or none, are left to encoding/json.
func (o *object) seconds(name string, n float64) {
	o.raw(name)
	if size := math.Abs(n); n == 0 || size >= 1e-6 && size < 1e21 {
		o.b = strconv.AppendFloat(o.b, n, 'f', -1, 64)
		return
	}
	o.any(n)
}

func (o *object) pointedTime(name string, t *time.Time) {
	if t != nil {
		o.time(name, *t)
	}
}
