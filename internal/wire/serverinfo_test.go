package wire

import (
	"reflect"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"google.golang.org/protobuf/proto"
)

const yearNineThousand = 253402300799 // score of something that does not expire

var exampleServer = ServerInfo{
	Host: "ip-10-0-0-7", PID: 4711, ID: "8b0e", Concurrency: 10, Queues: map[string]int{"default": 1, "mail": 6, "": 0},
	StrictPriority: true, Status: "active", Started: time.Unix(1763800000, 123456789).UTC(), ActiveWorkers: 2,
}

var exampleWorker = WorkerInfo{
	Host: "ip-10-0-0-7", PID: 4711, ServerID: "8b0e", TaskID: "01JD8Z", TaskType: "email:welcome",
	Payload: []byte(`{"user_id":42}`), Queue: "mail",
	Started: time.Unix(1763800005, 0).UTC(), Deadline: time.Unix(1763801805, 500).UTC(),
}

func TestInspectorReadsOurServersAndWorkers(t *testing.T) {
	t.Parallel()
	mr, rdb := newRedis(t)
	mr.ZAdd("asynq:servers", yearNineThousand, "asynq:servers:{h:1:8b0e}")
	mr.Set("asynq:servers:{h:1:8b0e}", string(exampleServer.Encode()))
	mr.ZAdd("asynq:workers", yearNineThousand, "asynq:workers:{h:1:8b0e}")
	mr.HSet("asynq:workers:{h:1:8b0e}", exampleWorker.TaskID, string(exampleWorker.Encode()))

	got, err := asynq.NewInspectorFromRedisClient(rdb).Servers()

	if err != nil {
		t.Fatal(err)
	}
	s, w := exampleServer, exampleWorker
	want := []*asynq.ServerInfo{{
		ID: s.ID, Host: s.Host, PID: s.PID, Concurrency: s.Concurrency, Queues: s.Queues, StrictPriority: true,
		Started: s.Started, Status: s.Status,
		ActiveWorkers: []*asynq.WorkerInfo{{
			TaskID: w.TaskID, TaskType: w.TaskType, TaskPayload: w.Payload, Queue: w.Queue, Started: w.Started, Deadline: w.Deadline,
		}},
	}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n %+v, want\n %+v", got[0], want[0])
	}
}

func TestServerInfoMeansTheSameToAsynq(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]ServerInfo{
		"zero":                {},
		"every field":         exampleServer,
		"Seri's mark":         {ID: "8b0e", Fenced: true},
		"a negative priority": {Queues: map[string]int{"q": -1}},
		"before 1970":         {Started: time.Unix(-1, 1).UTC()},
		"the start of 1970":   {Started: time.Unix(0, 0).UTC()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			theirs := newOracle(t, "ServerInfo")

			if err := proto.Unmarshal(want.Encode(), theirs.Interface()); err != nil {
				t.Fatal(err)
			}
			encoded, err := proto.Marshal(theirs.Interface())
			if err != nil {
				t.Fatal(err)
			}
			ours, err := DecodeServerInfo(encoded)

			if err != nil {
				t.Fatal(err)
			}
			if got := theirs.serverInfo(); !reflect.DeepEqual(got, want) {
				t.Errorf("asynq understands\n %+v, want\n %+v", got, want)
			}
			if !reflect.DeepEqual(ours, want) {
				t.Errorf("we understand asynq's encoding as\n %+v, want\n %+v", ours, want)
			}
		})
	}
}

func TestWorkerInfoMeansTheSameToAsynq(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]WorkerInfo{
		"zero":        {},
		"every field": exampleWorker,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			theirs := newOracle(t, "WorkerInfo")

			if err := proto.Unmarshal(want.Encode(), theirs.Interface()); err != nil {
				t.Fatal(err)
			}
			encoded, err := proto.Marshal(theirs.Interface())
			if err != nil {
				t.Fatal(err)
			}
			ours, err := DecodeWorkerInfo(encoded)

			if err != nil {
				t.Fatal(err)
			}
			if got := theirs.workerInfo(); !reflect.DeepEqual(got, want) {
				t.Errorf("asynq understands\n %+v, want\n %+v", got, want)
			}
			if !reflect.DeepEqual(ours, want) {
				t.Errorf("we understand asynq's encoding as\n %+v, want\n %+v", ours, want)
			}
		})
	}
}

func TestTextThatIsNotUTF8IsRepairedInServersAndWorkers(t *testing.T) {
	t.Parallel()
	server := ServerInfo{Host: "h\xff", Queues: map[string]int{"q\xff": 1}}
	worker := WorkerInfo{Host: "h\xff", TaskType: "t\xff"}

	for name, b := range map[string][]byte{"ServerInfo": server.Encode(), "WorkerInfo": worker.Encode()} {
		theirs := newOracle(t, "ServerInfo")
		if name == "WorkerInfo" {
			theirs = newOracle(t, "WorkerInfo")
		}

		if err := proto.Unmarshal(b, theirs.Interface()); err != nil {
			t.Errorf("asynq refuses the %s: %v", name, err)
		}
		if got := theirs.get(1).String(); got != "h\uFFFD" {
			t.Errorf("the host of the %s reads %q", name, got)
		}
	}
}
