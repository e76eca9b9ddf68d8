package wire

import (
	"encoding/json"
	"reflect"
	"testing"
)

// What is relayed to another system and comes back is the event that it was.
func TestCloudEventsAreReadAsTheyWereMade(t *testing.T) {
	t.Parallel()
	for name, data := range map[string]string{
		"queued":            `"kind":"queued","task":"a","type":"mail","owner":"user:1","data":{"reason":"crashed"}`,
		"scheduled":         `"kind":"scheduled","task":"a","type":"mail","data":{"due":1795404418446,"reason":"no_worker"}`,
		"started":           `"kind":"started","task":"a","type":"mail","data":{"attempt":2,"worker":"host:1:w"}`,
		"progress":          `"kind":"progress","task":"a","type":"mail","data":{"done":3,"total":9,"message":"„half“"}`,
		"no progress yet":   `"kind":"progress","task":"a","type":"mail","data":{}`,
		"retrying":          `"kind":"retrying","task":"a","type":"mail","data":{"attempt":1,"due":1795404418446,"error":"refused"}`,
		"succeeded":         `"kind":"succeeded","task":"a","type":"mail","data":{"attempt":1,"result":{"id":7}}`,
		"a large result":    `"kind":"succeeded","task":"a","type":"mail","data":{"attempt":1,"truncated":true}`,
		"failed":            `"kind":"failed","task":"a","type":"mail","data":{"attempt":4,"error":"no","reason":"exhausted"}`,
		"revoked":           `"kind":"revoked","task":"a","type":"mail","data":{"reason":"revoked"}`,
		"repaired":          `"kind":"repaired","task":"a","type":"mail","data":{"reason":"no_lease","state":"active"}`,
		"trimmed":           `"kind":"trimmed","task":"a","type":"mail","data":{"reason":"too_old","state":"failed"}`,
		"a tick":            `"kind":"schedule.fired","schedule":"s","data":{"task_id":"sched:s:1","tick":1795404418,"late":12}`,
		"a tick in time":    `"kind":"schedule.fired","schedule":"s","data":{"task_id":"sched:s:1","tick":1795404418}`,
		"ticks missed":      `"kind":"schedule.missed","schedule":"s","data":{"count":3,"more":true,"first":1795404418,"last":1795404428,"reason":"outage"}`,
		"a paused schedule": `"kind":"schedule.paused","schedule":"s","data":{"note":"by hand"}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			events, err := DecodeEvents("q", `[{"seq":5,"at":1795404418446,`+data+`}]`)
			if err != nil {
				t.Fatal(err)
			}
			want := events[0]
			want.Partition = 3
			if want.Kind.OfSchedule() {
				want.Partition = 0 // which does not travel
			}
			text, err := AppendCloudEvent(nil, &want, "1-0:0")
			if err != nil {
				t.Fatal(err)
			}

			var read CloudEvent
			if err := json.Unmarshal(text, &read); err != nil {
				t.Fatal(err)
			}
			got, err := read.Event()

			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%v\ngot  %+v\nwant %+v", err, got, want)
			}
		})
	}
	if _, err := (&CloudEvent{Type: TypeSnapshot}).Event(); err == nil {
		t.Error("a snapshot was taken for an event")
	}
}
