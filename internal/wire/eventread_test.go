package wire

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/seri-queue/seri"
)

// readsAlike checks that an entry means the same to the reader of our own as to encoding/json, if it takes it, and that
// DecodeEvents accepts, refuses and understands it as encoding/json does.
func readsAlike(t *testing.T, entry string) (taken bool) {
	t.Helper()
	want, wantErr := decodeEvents("q", entry)

	read, taken := readEvents("q", entry)
	if taken && (wantErr != nil || !reflect.DeepEqual(read, want)) {
		t.Errorf("%s was read as\n %+v, to encoding/json it is\n %+v, %v", entry, read, want, wantErr)
	}
	got, err := DecodeEvents("q", entry)
	if !reflect.DeepEqual(got, want) || !reflect.DeepEqual(err, wantErr) {
		t.Errorf("%s became\n %+v, %v, want\n %+v, %v", entry, got, err, want, wantErr)
	}
	return taken
}

// frames are the rests of events, from "kind" on, as scripts and programs write them.
func frames() map[string]string {
	about := About("t1", "csv.profile", "user:42")
	tick := time.Unix(1_763_800_000, 0)
	return map[string]string{
		"queued":                 `"kind":"queued",` + about,
		"queued by cjson":        `"kind":"queued","task":"a\/b","type":"csv","owner":"team\/7"`,
		"handed back":            HandedBackEvent(about),
		"scheduled":              `"kind":"scheduled",` + about + `,"data":{"due":1763800000999,"reason":"no_worker"}`,
		"started":                `"kind":"started",` + about + `,"data":{"attempt":2,"worker":"h:1:x"}`,
		"progress":               `"kind":"progress",` + about + `,"data":{"done":1,"total":3,"message":"m"}`,
		"progress of none":       `"kind":"progress",` + about + `,"data":{}`,
		"progress in words":      `"kind":"progress",` + About("t1", "größe", "日本") + `,"data":{"done":-1,"message":"„half“ \"so\" \ud83e\udd89\n"}`,
		"retrying":               `"kind":"retrying",` + about + `,"data":{"due":5,` + FailedAttempt(3, `no "way" <b>`) + `}`,
		"succeeded":              succeeded(about, `{"a":[1,-2.5e+7,true,false,null,"\u00e9<",{}],"b":{"c":[]}}`),
		"succeeded with nothing": succeeded(about, `null`),
		"succeeded silently":     succeeded(about, ""),
		"too large":              succeeded(about, strings.Repeat("1", MaxEventResult+1)),
		"in white space":         succeeded(about, "[ 1 ,\n{ \"a\" :\t2 } ]"),
		"failed":                 EndedEvent(seri.EventFailed, about, 4, seri.ReasonExhausted, "boom"),
		"lost":                   `"kind":"failed","task":"t1","type":"","data":{"reason":"lost"}`,
		"revoked":                EndedEvent(seri.EventRevoked, about, 1, seri.ReasonRevoked, ""),
		"repaired":               `"kind":"repaired",` + about + `,"data":{"reason":"no_lease","state":"active"}`,
		"trimmed":                `"kind":"trimmed",` + about + `,"data":{"reason":"too_old","state":"failed"}`,
		"fired":                  `"kind":"schedule.fired","schedule":"s","data":{"task_id":"sched:s:1763800000","tick":1763800000,"late":12}`,
		"missed":                 `"kind":"schedule.missed","schedule":"s","data":` + MissedTicks(3, true, tick, tick.Add(2*time.Second)),
		"paused":                 `"kind":"schedule.paused","schedule":"s","data":{"note":"why"}`,
		"resumed":                `"kind":"schedule.resumed","schedule":"s"`,
	}
}

func entryOf(rest string) string { return `[{"seq":7,"at":1763800000123,` + rest + `}]` }

// What is written usually does not have to be read by encoding/json.
func TestEveryKindOfEventIsReadByHand(t *testing.T) {
	t.Parallel()
	var all []string
	for name, rest := range frames() {
		if !readsAlike(t, entryOf(rest)) {
			t.Errorf("%s was left to encoding/json", name)
		}
		all = append(all, strings.Trim(entryOf(rest), "[]"))
	}
	if !readsAlike(t, "["+strings.Join(all, ",")+"]") {
		t.Error("an entry of all of them was left to encoding/json")
	}
}

// oddEntries are entries on which hand-written readers like to differ.
var oddEntries = map[string]string{
	"nothing":                          ``,
	"null":                             `null`,
	"no events":                        `[]`,
	"an empty event":                   `[{}]`,
	"null for an event":                `[null]`,
	"another kind of value":            `{"seq":1}`,
	"a number for an event":            `[1]`,
	"white space":                      " [ { \"seq\" : 1 , \"data\" : { \"done\" : 2 } } ] \n",
	"more after the end":               `[{"seq":1}]x`,
	"white space after the end":        `[{"seq":1}] `,
	"a comma too many":                 `[{"seq":1},]`,
	"a comma too many in an event":     `[{"seq":1,}]`,
	"a comma too few":                  `[{"seq":1}{"seq":2}]`,
	"cut short":                        `[{"seq":1`,
	"cut short in a name":              `[{"se`,
	"cut short in a string":            `[{"task":"a`,
	"cut short in an escape":           `[{"task":"a\`,
	"cut short in a code":              `[{"task":"\u00e`,
	"cut short after a result":         `[{"data":{"result":1`,
	"no colon":                         `[{"seq" 1}]`,
	"a name without quotes":            `[{seq:1}]`,
	"a name in capitals":               `[{"SEQ":1,"Task":"a","dAta":{"DONE":2}}]`,
	"a name with an escape":            `[{"s\u0065q":1}]`,
	"a name with a quote in it":        `[{"a\"seq":1,"b\\":2}]`,
	"a field that is not known":        `[{"seq":1,"new":{"a":[1,"]}"]},"task":"a","data":{"other":[],"done":3}}]`,
	"a field given twice":              `[{"seq":1,"seq":2,"task":"a","task":"","type":"b","type":null}]`,
	"data given twice":                 `[{"kind":"progress","data":{"done":1,"message":"a","result":[1,2,3]},"data":{"total":2,"result":4}}]`,
	"nulls":                            `[{"seq":null,"at":null,"kind":null,"task":null,"owner":null,"data":null},{"kind":"progress","data":{"done":null,"message":null}}]`,
	"a null result":                    `[{"data":{"result":null}}]`,
	"a negative number":                `[{"seq":-1}]`,
	"minus nothing for a number":       `[{"seq":-0}]`,
	"minus nothing":                    `[{"at":-0}]`,
	"a negative time":                  `[{"at":-62135596800000}]`,
	"a sign alone":                     `[{"at":-}]`,
	"a plus":                           `[{"at":+1}]`,
	"a leading zero":                   `[{"at":01}]`,
	"a fraction":                       `[{"at":1.0}]`,
	"an exponent":                      `[{"at":1e3}]`,
	"the largest number":               `[{"seq":18446744073709551615,"at":9223372036854775807}]`,
	"the smallest number":              `[{"at":-9223372036854775808}]`,
	"a number that is too large":       `[{"seq":18446744073709551616}]`,
	"a time that is too large":         `[{"at":9223372036854775808}]`,
	"eighteen digits":                  `[{"seq":999999999999999999,"at":-999999999999999999}]`,
	"an attempt of more than 32 bits":  `[{"kind":"started","data":{"attempt":4294967297}}]`,
	"a text for a number":              `[{"at":"now"}]`,
	"a number for a text":              `[{"task":1}]`,
	"a text for a truth":               `[{"data":{"truncated":"true"}}]`,
	"both truths":                      `[{"data":{"truncated":true,"truncated":false}}]`,
	"a truth cut short":                `[{"data":{"truncated":tru`,
	"a truth that goes on":             `[{"data":{"truncated":trueish}}]`,
	"a list for the data":              `[{"data":[]}]`,
	"every escape":                     `[{"task":"\"\\\/\b\f\n\r\t\u00e9\u2028"}]`,
	"an escape that there is not":      `[{"task":"\a"}]`,
	"an apostrophe with a backslash":   `[{"task":"\'"}]`,
	"a pair of surrogates":             `[{"task":"\ud83e\udd89"}]`,
	"half a pair of surrogates":        `[{"task":"\ud83e","type":"\udd89x","owner":"\ud83e\u0041"}]`,
	"an empty code":                    `[{"task":"\u"}]`,
	"a code that is none":              `[{"task":"\u00g0"}]`,
	"a zero byte":                      "[{\"task\":\"a\x00\"}]",
	"a line feed in a string":          "[{\"task\":\"a\nb\"}]",
	"the last ASCII character":         "[{\"task\":\"a\x7f\"}]",
	"bytes that are not UTF-8":         "[{\"task\":\"a\xff\",\"type\":\"\xe2\x80\",\"data\":{\"message\":\"\xed\xa0\x80\"}}]",
	"a result that is not UTF-8":       "[{\"data\":{\"result\":\"\xff\xe2\x80\xa8\"}}]",
	"a result in white space":          `[{"data":{"result": 1 }}]`,
	"a result with a control byte":     "[{\"data\":{\"result\":\"\x01\"}}]",
	"a result that is not JSON":        `[{"data":{"result":{a:1}}}]`,
	"a result cut short":               `[{"data":{"result":[1,{"a":}}}]`,
	"a result with a comma too many":   `[{"data":{"result":[1,]}}]`,
	"a result with a comma too early":  `[{"data":{"result":{,"a":1}}}]`,
	"a result with a number for a key": `[{"data":{"result":{1:2}}}]`,
	"results that are no numbers":      `[{"data":{"result":1.}},{"data":{"result":.1}},{"data":{"result":1e}}]`,
	"a result of many zeros":           `[{"data":{"result":00}}]`,
	"a result with every number":       `[{"data":{"result":[0,-0,0.5,-1.25E-7,1e+9,10,0e0]}}]`,
	"a result of another bracket":      `[{"data":{"result":[1}}}]`,
	"a deep result":                    `[{"data":{"result":` + strings.Repeat(`[`, maxDepth+1) + strings.Repeat(`]`, maxDepth+1) + `}}]`,
	"a result that is too deep":        `[{"data":{"result":` + strings.Repeat(`[`, 10_001) + strings.Repeat(`]`, 10_001) + `}}]`,
	"an event about both":              `[{"seq":3,"kind":"schedule.fired","task":"a","schedule":"s","data":{"attempt":2,"tick":-5}}]`,
	"a kind that is not known":         `[{"seq":3,"kind":"sung","task":"a","data":{"done":2}}]`,
	"a text that asks for more frames": `[{"seq":1},` + strings.Repeat(`{"seq":12345,"task":"a"},`, 40) + `{"seq":2}]`,
}

func TestOddEntriesAreReadAsEncodingJSONReadsThem(t *testing.T) {
	t.Parallel()
	for name, entry := range oddEntries {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			readsAlike(t, entry)
		})
	}
}

func FuzzDecodeEvents(f *testing.F) {
	for _, rest := range frames() {
		f.Add(entryOf(rest))
	}
	for _, entry := range oddEntries {
		f.Add(entry)
	}
	f.Fuzz(func(t *testing.T, entry string) { readsAlike(t, entry) })
}

// Any JSON may be a result, and only JSON.
func FuzzScanValue(f *testing.F) {
	for _, rest := range frames() {
		f.Add([]byte(entryOf(rest)))
	}
	for _, entry := range oddEntries {
		f.Add([]byte(entry))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		s := scanner[[]byte]{text: value}

		whole := s.value(maxDepth) && s.at == len(value)

		if whole && !json.Valid(value) {
			t.Errorf("%q was taken for JSON", value)
		}
		if compact, err := json.Marshal(json.RawMessage(value)); whole && s.seen&(space|markup) == 0 && (err != nil || string(compact) != string(value)) {
			t.Errorf("%q was taken for compact, but becomes %q, %v", value, compact, err)
		}
	})
}

// An event that is kept does not keep the entry that it came in, which may be of a thousand.
func TestEventsShareNoMemoryWithTheirEntry(t *testing.T) {
	t.Parallel()
	for name, rest := range frames() {
		entry := entryOf(rest)
		events, ok := readEvents("q", entry)
		if !ok {
			t.Fatalf("%s was left to encoding/json", name)
		}
		from := uintptr(unsafe.Pointer(unsafe.StringData(entry)))
		e := &events[0]
		texts := []string{string(e.Kind), e.Task, e.Type, e.Owner, e.Data.Worker, e.Data.Error, string(e.Data.Reason), string(e.Data.State), unsafe.String(unsafe.SliceData(e.Data.Result), len(e.Data.Result))}
		if p := e.Data.Progress; p != nil {
			texts = append(texts, p.Message)
		}
		if s := e.Data.Schedule; s != nil {
			texts = append(texts, s.ID, s.Task, string(s.Reason), s.Note)
		}
		for _, text := range texts {
			if at := uintptr(unsafe.Pointer(unsafe.StringData(text))); text != "" && at >= from && at < from+uintptr(len(entry)) {
				t.Errorf("%s: %q is a part of its entry", name, text)
			}
		}
	}
}
