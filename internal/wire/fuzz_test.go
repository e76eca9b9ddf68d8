package wire

import (
	"maps"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	_ "github.com/hibiken/asynq" // registers its messages; see oracle
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// oracle is a message of asynq's own generated type. Its package is internal, but linking it in registers its types
// with protobuf, and there they can be had by name.
type oracle struct{ protoreflect.Message }

func newOracle(t testing.TB, name protoreflect.FullName) oracle {
	t.Helper()
	typ, err := protoregistry.GlobalTypes.FindMessageByName("asynq." + name)
	if err != nil {
		t.Fatalf("asynq has no message %s: %v", name, err)
	}
	return oracle{typ.New()}
}

func (o oracle) get(number protoreflect.FieldNumber) protoreflect.Value {
	return o.Get(o.Descriptor().Fields().ByNumber(number))
}

func (o oracle) integer(number protoreflect.FieldNumber) int { return int(o.get(number).Int()) }

func (o oracle) bytes(number protoreflect.FieldNumber) []byte {
	if b := o.get(number).Bytes(); len(b) > 0 {
		return b
	}
	return nil
}

func (o oracle) time(number protoreflect.FieldNumber) time.Time {
	if !o.Has(o.Descriptor().Fields().ByNumber(number)) {
		return time.Time{}
	}
	return o.get(number).Message().Interface().(*timestamppb.Timestamp).AsTime()
}

func (o oracle) message() Message {
	m := Message{
		Type: o.get(1).String(), Payload: o.bytes(2), ID: o.get(3).String(), Queue: o.get(4).String(),
		MaxRetries: o.integer(5), Retried: o.integer(6), LastError: o.get(7).String(), Timeout: o.get(8).Int(),
		Deadline: o.get(9).Int(), UniqueKey: o.get(10).String(), LastFailedAt: o.get(11).Int(), Retention: o.get(12).Int(),
		CompletedAt: o.get(13).Int(), GroupKey: o.get(14).String(),
	}
	for key, value := range o.get(15).Map().Range {
		if m.Headers == nil {
			m.Headers = map[string]string{}
		}
		m.Headers[key.String()] = value.String()
	}
	return m
}

func (o oracle) serverInfo() ServerInfo {
	s := ServerInfo{
		Host: o.get(1).String(), PID: o.integer(2), ID: o.get(3).String(), Concurrency: o.integer(4),
		StrictPriority: o.get(6).Bool(), Status: o.get(7).String(), Started: o.time(8), ActiveWorkers: o.integer(9),
	}
	for queue, priority := range o.get(5).Map().Range {
		if s.Queues == nil {
			s.Queues = map[string]int{}
		}
		s.Queues[queue.String()] = int(priority.Int())
	}
	s.Fenced = o.unknownBool(1000)
	return s
}

// unknownBool returns the last value of a field that asynq's type does not have.
func (o oracle) unknownBool(number protowire.Number) (v bool) {
	for b := o.GetUnknown(); len(b) > 0; {
		n, kind, tag := protowire.ConsumeTag(b)
		size := protowire.ConsumeFieldValue(n, kind, b[tag:])
		if n == number && kind == protowire.VarintType {
			value, _ := protowire.ConsumeVarint(b[tag:])
			v = protowire.DecodeBool(value)
		}
		b = b[tag+size:]
	}
	return v
}

func (o oracle) workerInfo() WorkerInfo {
	return WorkerInfo{
		Host: o.get(1).String(), PID: o.integer(2), ServerID: o.get(3).String(), TaskID: o.get(4).String(),
		TaskType: o.get(5).String(), Payload: o.bytes(6), Queue: o.get(7).String(), Started: o.time(8), Deadline: o.time(9),
	}
}

func FuzzDecode(f *testing.F) {
	fuzzDecoder(f, "TaskMessage", DecodeMessage, oracle.message, func(m Message) []byte { return m.Encode() })
}

func FuzzDecodeServerInfo(f *testing.F) {
	fuzzDecoder(f, "ServerInfo", DecodeServerInfo, oracle.serverInfo, func(s ServerInfo) []byte { return s.Encode() })
}

func FuzzDecodeWorkerInfo(f *testing.F) {
	fuzzDecoder(f, "WorkerInfo", DecodeWorkerInfo, oracle.workerInfo, func(w WorkerInfo) []byte { return w.Encode() })
}

// fuzzDecoder checks that decode accepts, refuses and understands input as asynq does, and that encoding loses nothing.
func fuzzDecoder[T any](f *testing.F, name protoreflect.FullName, decode func([]byte) (T, error), read func(oracle) T, encode func(T) []byte) {
	for _, golden := range goldens() {
		f.Add(golden)
	}
	for _, b := range oddities {
		f.Add([]byte(b))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		input := slices.Clone(b)
		theirs := newOracle(t, name)

		got, err := decode(b)

		theirErr := proto.Unmarshal(b, theirs.Interface())
		if (err == nil) != (theirErr == nil) {
			t.Fatalf("decoding %x: our error is %v, asynq's is %v", b, err, theirErr)
		}
		if err != nil {
			return
		}
		if want := read(theirs); !reflect.DeepEqual(got, want) {
			t.Fatalf("decoding %x:\n got %+v\nwant %+v", b, got, want)
		}
		again, err := decode(encode(got))
		if err != nil {
			t.Fatalf("decoding what was encoded: %v", err)
		}
		if !reflect.DeepEqual(again, got) {
			t.Fatalf("encoding and decoding changed\n %+v to\n %+v", got, again)
		}
		if !slices.Equal(b, input) {
			t.Fatal("decoding has changed its input")
		}
	})
}

// oddities are inputs on which hand-written decoders like to differ.
var oddities = map[string]string{
	"nothing":                             "",
	"a scalar given twice":                "\x28\x01\x28\x02",
	"fields in falling order":             "\x28\x03\x0a\x01t",
	"an empty payload after a full one":   "\x12\x01p\x12\x00",
	"a known number with another kind":    "\x08\x07\x2a\x01x",
	"an unknown field":                    "\xfa\x01\x03abc\x0a\x01t",
	"an unknown group":                    "\xfb\x01\x08\x01\xfc\x01\x0a\x01t",
	"a group that ends without a start":   "\x0c",
	"a group that never ends":             "\xfb\x01\x08\x01",
	"field number zero":                   "\x00\x01",
	"a field number past the largest one": "\x80\x80\x80\x80\x10\x01",
	"a varint of eleven bytes":            "\x28\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
	"an int32 that needs more bits":       "\x28\xff\xff\xff\xff\xff\x01",
	"a negative int32":                    "\x28\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
	"a length past the end":               "\x0a\x05t",
	"text that is not UTF-8":              "\x3a\x01\xff",
	"a header with nothing in it":         "\x7a\x00",
	"a header given twice":                "\x7a\x06\x0a\x01k\x12\x01a\x7a\x06\x0a\x01k\x12\x01b",
	"a header key that is not UTF-8":      "\x7a\x03\x0a\x01\xff",
	"a header with an unknown field":      "\x7a\x08\x0a\x01k\x18\x05\x12\x01a",
	"a header cut short":                  "\x7a\x02\x0a\x05",
	"two halves of a timestamp":           "\x42\x02\x08\x05\x42\x02\x10\x07",
	"nanoseconds of another kind":         "\x42\x06\x10\x07\x12\x02ab",
	"a timestamp of no bytes":             "\x42\x00",
	"Seri's mark given twice":             "\xc0\x3e\x00\xc0\x3e\x07",
	"Seri's mark of another kind":         "\xc2\x3e\x01\xff",
	"a timestamp beyond any calendar":     "\x42\x0a\x08\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
}

func FuzzEncode(f *testing.F) {
	f.Add("type", []byte("payload"), "an error\xff\xfe text", "k\xff", "v", 25, int64(1800))
	f.Add("", []byte(nil), "", "", "", math.MaxInt, int64(math.MinInt64))
	f.Fuzz(func(t *testing.T, typ string, payload []byte, lastError, key, value string, retries int, timeout int64) {
		valid := func(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
		m := Message{
			Type: typ, Payload: payload, ID: typ, LastError: lastError, MaxRetries: retries, Timeout: timeout,
			Headers: map[string]string{key: value},
		}
		want := m
		want.Type, want.ID, want.LastError = valid(typ), valid(typ), valid(lastError)
		want.MaxRetries = min(max(retries, math.MinInt32), math.MaxInt32)
		want.Headers = map[string]string{valid(key): valid(value)}
		if len(payload) == 0 {
			want.Payload = nil
		}

		b := m.Encode()

		theirs := newOracle(t, "TaskMessage")
		if err := proto.Unmarshal(b, theirs.Interface()); err != nil {
			t.Fatalf("asynq refuses %x: %v", b, err)
		}
		if got := theirs.message(); !reflect.DeepEqual(got, want) {
			t.Fatalf("asynq understands\n %+v, want\n %+v", got, want)
		}
		if m.LastError != lastError || m.Headers[key] != value {
			t.Fatal("encoding has changed its message")
		}
	})
}

func TestRandomMessagesMeanTheSameToAsynq(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)

	for range 300 {
		want := randomMessage(random)

		b := want.Encode()

		theirs := newOracle(t, "TaskMessage")
		if err := proto.Unmarshal(b, theirs.Interface()); err != nil {
			t.Fatalf("asynq refuses %+v: %v", want, err)
		}
		if got := theirs.message(); !reflect.DeepEqual(got, want) {
			t.Fatalf("asynq understands\n %+v, want\n %+v", got, want)
		}
		if size := proto.Size(theirs.Interface()); size != len(b) || size != want.size() {
			t.Fatalf("%d bytes written, %d foreseen, %d written by asynq, for %+v", len(b), want.size(), size, want)
		}
		encoded, err := proto.Marshal(theirs.Interface())
		if err != nil {
			t.Fatal(err)
		}
		if got, err := DecodeMessage(encoded); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("we understand asynq's encoding as\n %+v (error %v), want\n %+v", got, err, want)
		}
	}
}

// randomMessage sets each field to zero, to something ordinary or to an extreme.
func randomMessage(random *rand.Rand) Message {
	text := func() string {
		return []string{"", "a", "grüße 🦉", "\x00", strings.Repeat("x", 127), strings.Repeat("é", 9000)}[random.IntN(6)]
	}
	integer := func() int64 {
		return []int64{0, 1, -1, 127, 128, 1763800000, math.MaxInt64, math.MinInt64}[random.IntN(8)]
	}
	short := func() int { return []int{0, 1, -1, 25, 300, math.MaxInt32, math.MinInt32}[random.IntN(7)] }
	m := Message{
		Type: text(), ID: text(), Queue: text(), MaxRetries: short(), Retried: short(), LastError: text(),
		Timeout: integer(), Deadline: integer(), UniqueKey: text(), LastFailedAt: integer(), Retention: integer(),
		CompletedAt: integer(), GroupKey: text(),
	}
	if p := text(); p != "" {
		m.Payload = []byte(p + "\xff")
	}
	for range random.IntN(20) {
		if m.Headers == nil {
			m.Headers = map[string]string{}
		}
		m.Headers[text()+string(rune('a'+random.IntN(26)))] = text()
	}
	return m
}

// goldens returns the encodings whose bytes are kept in testdata.
func goldens() map[string][]byte {
	all := map[string][]byte{}
	for name, m := range goldenMessages {
		all["message: "+name] = m.Encode()
	}
	maps.Copy(all, map[string][]byte{
		"server info":             exampleServer.Encode(),
		"worker info":             exampleWorker.Encode(),
		"scheduler entry":         exampleEntry.Encode(),
		"scheduler enqueue event": exampleEnqueueEvent.Encode(),
	})
	return all
}
