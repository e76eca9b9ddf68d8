package wire

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"google.golang.org/protobuf/proto"
)

var update = flag.Bool("update", false, "rewrite the golden files in testdata")

var fullMessage = Message{
	Type: "email:welcome", Payload: []byte(`{"user_id":42}`), ID: "01JD8Z", Queue: "mail", MaxRetries: 5, Retried: 2,
	LastError: "SMTP: 421 grüße später", Timeout: 30, Deadline: 1763803600, UniqueKey: "asynq:{mail}:unique:email:welcome:ab",
	LastFailedAt: 1763800000, Retention: 86400, CompletedAt: 1763800100, GroupKey: "welcome",
	Headers: map[string]string{"traceparent": "00-1-2-01", "x:owner": "user:42", "empty": ""},
}

var goldenMessages = map[string]Message{
	"zero":             {},
	"every field":      fullMessage,
	"as first written": {Type: "csv.profile", Payload: []byte("{}"), ID: "a", Queue: "default", MaxRetries: 25, Timeout: 1800},
	"binary payload":   {Type: "t", Payload: []byte{0, 0xff, 0x80}, ID: "b", Queue: "default"},
	"negative numbers": {Type: "t", ID: "c", Queue: "default", MaxRetries: -1, Deadline: -62135596800},
}

func TestBytesAreThoseOfTheGoldenFile(t *testing.T) {
	t.Parallel()
	const path = "testdata/asynq.golden"
	var text strings.Builder
	all := goldens()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&text, "%s = %s\n", name, hex.EncodeToString(all[name]))
	}

	if *update {
		if err := os.WriteFile(path, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}

	if text.String() != string(want) {
		t.Errorf("the encoding has changed; if that is meant, run with -update. Got\n%swant\n%s", &text, want)
	}
}

func TestEncodingAndDecodingKeepsEveryField(t *testing.T) {
	t.Parallel()
	for name, want := range goldenMessages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			got, err := DecodeMessage(want.Encode())

			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got\n %+v, want\n %+v", got, want)
			}
		})
	}
}

func TestAppendLeavesWhatIsThere(t *testing.T) {
	t.Parallel()

	got := fullMessage.Append([]byte("before"))

	if want := append([]byte("before"), fullMessage.Encode()...); !bytes.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestPayloadIsPartOfTheInputButDoesNotReachBeyondItself(t *testing.T) {
	t.Parallel()
	b := fullMessage.Encode()
	before := slices.Clone(b)

	m, err := DecodeMessage(b)
	if err != nil {
		t.Fatal(err)
	}
	_ = append(m.Payload, "more than there is room for"...)

	if !bytes.Equal(b, before) {
		t.Error("appending to the payload has changed the message that it came from")
	}
	b[bytes.Index(b, []byte("42"))] = '7'
	if string(m.Payload) != `{"user_id":72}` {
		t.Errorf("payload is %s: a copy", m.Payload)
	}
}

func TestDecodeNamesTheFieldAtFault(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ input, want string }{
		"bad UTF-8 in a text":   {"\x3a\x01\xff", "decode task message: field 7: text is not valid UTF-8"},
		"bad UTF-8 in a header": {"\x7a\x03\x0a\x01\xff", "decode task message: field 15: text is not valid UTF-8"},
		"cut off in a text":     {"\x0a\x05t", "decode task message: field 1: unexpected EOF"},
		"number out of range":   {"\x80\x80\x80\x80\x10\x01", "decode task message: field number is out of range"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			m, err := DecodeMessage([]byte(c.input))

			if err == nil || err.Error() != c.want {
				t.Errorf("error is %q, want %q", err, c.want)
			}
			if !reflect.DeepEqual(m, Message{}) {
				t.Errorf("message is %+v, want the zero one", m)
			}
		})
	}
}

func TestMessagesOfAsynqsClientAreUnderstood(t *testing.T) {
	t.Parallel()
	deadline := time.Unix(1<<33, 0)
	for name, c := range map[string]struct {
		task *asynq.Task
		want Message
	}{
		"with asynq's defaults": {
			asynq.NewTask("t", []byte("p"), asynq.TaskID("id")),
			Message{Type: "t", Payload: []byte("p"), ID: "id", Queue: "default", MaxRetries: 25, Timeout: 1800},
		},
		"without a payload": {
			asynq.NewTask("t", nil, asynq.TaskID("id")),
			Message{Type: "t", ID: "id", Queue: "default", MaxRetries: 25, Timeout: 1800},
		},
		"with headers": {
			asynq.NewTaskWithHeaders("t", nil, map[string]string{"a": "1", "b": "", "ü": "ö"}, asynq.TaskID("id")),
			Message{Type: "t", ID: "id", Queue: "default", MaxRetries: 25, Timeout: 1800, Headers: map[string]string{"a": "1", "b": "", "ü": "ö"}},
		},
		"with every option": {
			asynq.NewTask("t", []byte("p"), asynq.TaskID("id"), asynq.Queue("mail"), asynq.MaxRetry(3), asynq.Timeout(time.Minute),
				asynq.Deadline(deadline), asynq.Unique(time.Hour), asynq.Retention(2*time.Hour), asynq.Group("g")),
			Message{
				Type: "t", Payload: []byte("p"), ID: "id", Queue: "mail", MaxRetries: 3, Timeout: 60, Deadline: deadline.Unix(),
				UniqueKey: "asynq:{mail}:unique:t:83878c91171338902e0fe0fb97a8c47a", Retention: 7200, GroupKey: "g",
			},
		},
		"scheduled": {
			asynq.NewTask("t", nil, asynq.TaskID("id"), asynq.MaxRetry(0), asynq.ProcessIn(time.Hour)),
			Message{Type: "t", ID: "id", Queue: "default", Timeout: 1800},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mr, rdb := newRedis(t)

			if _, err := asynq.NewClientFromRedisClient(rdb).EnqueueContext(t.Context(), c.task); err != nil {
				t.Fatal(err)
			}
			got, err := DecodeMessage([]byte(mr.HGet("asynq:{"+c.want.Queue+"}:t:id", "msg")))

			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got\n %+v, want\n %+v", got, c.want)
			}
		})
	}
}

func TestInspectorReadsOurMessages(t *testing.T) {
	t.Parallel()
	mr, rdb := newRedis(t)
	m := fullMessage
	store(mr, m)

	got, err := asynq.NewInspectorFromRedisClient(rdb).GetTaskInfo(m.Queue, m.ID)

	if err != nil {
		t.Fatal(err)
	}
	got.NextProcessAt = time.Time{} // not part of the message
	want := &asynq.TaskInfo{
		ID: m.ID, Queue: m.Queue, Type: m.Type, Payload: m.Payload, Headers: m.Headers, State: asynq.TaskStateScheduled,
		MaxRetry: m.MaxRetries, Retried: m.Retried, LastErr: m.LastError, LastFailedAt: time.Unix(m.LastFailedAt, 0),
		Timeout: 30 * time.Second, Deadline: time.Unix(m.Deadline, 0), Group: m.GroupKey, Retention: 24 * time.Hour,
		CompletedAt: time.Unix(m.CompletedAt, 0),
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n %+v, want\n %+v", got, want)
	}
}

// Through asynq's own decoder and encoder, as on each retry, completion and archiving by a stock server.
func TestAsynqRewritesOurMessagesWithoutLoss(t *testing.T) {
	t.Parallel()
	mr, rdb := newRedis(t)
	want := fullMessage
	store(mr, want)

	want.Payload = []byte("new")
	if err := asynq.NewInspectorFromRedisClient(rdb).UpdateTaskPayload(want.Queue, want.ID, want.Payload); err != nil {
		t.Fatal(err)
	}

	got, err := DecodeMessage([]byte(mr.HGet("asynq:{mail}:t:01JD8Z", "msg")))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n %+v, want\n %+v", got, want)
	}
}

func TestErrorTextThatIsNotUTF8IsRepairedForAsynq(t *testing.T) {
	t.Parallel()
	mr, rdb := newRedis(t)
	m := Message{Type: "t", ID: "id", Queue: "mail", LastError: "read \xff\xfe: broken \xc3"}
	store(mr, m)

	got, err := asynq.NewInspectorFromRedisClient(rdb).GetTaskInfo("mail", "id")

	if err != nil {
		t.Fatal(err)
	}
	if want := "read \uFFFD: broken \uFFFD"; got.LastErr != want {
		t.Errorf("the error reads %q, want %q", got.LastErr, want)
	}
}

// Not parallel: testing.AllocsPerRun counts the allocations of the whole process.
func TestEncodeAllocatesOnce(t *testing.T) {
	m := fullMessage

	allocations := testing.AllocsPerRun(100, func() { m.Encode() })

	if allocations != 1 {
		t.Errorf("Encode allocates %v times, want once", allocations)
	}
}

func BenchmarkEncode(b *testing.B) {
	b.Run("wire", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			fullMessage.Encode()
		}
	})
	b.Run("protobuf", func(b *testing.B) {
		theirs := newOracle(b, "TaskMessage").Interface()
		if err := proto.Unmarshal(fullMessage.Encode(), theirs); err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			if _, err := proto.Marshal(theirs); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	encoded := fullMessage.Encode()
	b.Run("wire", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := DecodeMessage(encoded); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("protobuf", func(b *testing.B) {
		empty := newOracle(b, "TaskMessage")
		b.ReportAllocs()
		for b.Loop() {
			if err := proto.Unmarshal(encoded, empty.New().Interface()); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// newRedis returns an empty Redis for one test. Nothing here depends on more of Redis than its data types.
func newRedis(t *testing.T) (*miniredis.Miniredis, redis.UniversalClient) {
	t.Helper()
	mr := miniredis.RunT(t)
	rdb := redis.NewClient(&redis.Options{Addr: mr.Addr()})
	t.Cleanup(func() { rdb.Close() })
	return mr, rdb
}

// store writes m as a scheduled task.
func store(mr *miniredis.Miniredis, m Message) {
	mr.SAdd("asynq:queues", m.Queue)
	mr.HSet("asynq:{"+m.Queue+"}:t:"+m.ID, "msg", string(m.Encode()), "state", "scheduled")
	mr.ZAdd("asynq:{"+m.Queue+"}:scheduled", 1763800000, m.ID)
}
