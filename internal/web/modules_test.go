package web_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/seri-queue/seri/internal/web/webtest"
)

// TestModules runs the page's modules that need no page, in the browser that they are written for.
func TestModules(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	tab := webtest.Start(t).Tab(t)
	if err := chromedp.Do(tab, chromedp.Navigate(f.URL+"/favicon.svg")); err != nil {
		t.Fatal(err)
	}
	// run calls a function of JavaScript, to which the module is given, and returns what it returns as JSON.
	run := func(t *testing.T, module, function string) string {
		t.Helper()
		script := fmt.Sprintf(`import(%q).then(%s).then((x) => JSON.stringify(x))`, f.URL+module, function)
		out, err := chromedp.Run(tab, chromedp.Evaluate[string](script, chromedp.EvalAwaitPromise))
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	quote := func(v any) string {
		encoded, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(encoded)
	}

	t.Run("the parser of events", func(t *testing.T) {
		for name, c := range map[string]struct {
			pieces []string
			want   string
		}{
			"reads id, type and data":               {[]string{"id: 7\nevent: e\ndata: x\n\n"}, `[["e","x","7"]]`},
			"joins several lines of data":           {[]string{"data: a\ndata: b\n\n"}, `[["message","a\nb",""]]`},
			"takes any cut between pieces":          {[]string{"da", "ta: ä", "\n", "\ndata: b\n\n"}, `[["message","ä",""],["message","b",""]]`},
			"takes CR LF, also when it is cut":      {[]string{"data: a\r", "\n\r", "\ndata: b\r\n\r\n"}, `[["message","a",""],["message","b",""]]`},
			"takes CR alone":                        {[]string{"data: a\r\rdata: b\r\r\n"}, `[["message","a",""],["message","b",""]]`},
			"skips comments":                        {[]string{": still here\n\n:\ndata: a\n\n"}, `[["message","a",""]]`},
			"gives nothing for an unfinished event": {[]string{"data: a\n"}, `[]`},
			"gives nothing for an event of no data": {[]string{"event: e\nid: 3\n\ndata: a\n\n"}, `[["message","a","3"]]`},
			"takes off one space only":              {[]string{"data:  a\ndata:b\n\n"}, `[["message"," a\nb",""]]`},
			"keeps an id for the events after it":   {[]string{"id: 1\ndata: a\n\ndata: b\n\n"}, `[["message","a","1"],["message","b","1"]]`},
		} {
			t.Run(name, func(t *testing.T) {
				got := run(t, "/app/sse.js", fmt.Sprintf(`({EventParser}) => {
					const parser = new EventParser();
					return %s.flatMap((piece) => parser.push(piece)).map((e) => [e.type, e.data, e.id]);
				}`, quote(c.pieces)))
				equalJSON(t, got, c.want)
			})
		}
	})

	// An event is written as "kind seq"; the want is the state, the seq and how often the API was read.
	// What the API answers has seq 5 and is active.
	t.Run("the store of tasks", func(t *testing.T) {
		for name, c := range map[string]struct {
			events []string
			want   string
		}{
			"follows events in order":                             {[]string{"queued 1", "started 2", "succeeded 3"}, `["succeeded",3,0]`},
			"drops an event that it knows":                        {[]string{"queued 1", "started 2", "queued 1"}, `["active",2,0]`},
			"reads the task again when one is missing":            {[]string{"queued 1", "started 4"}, `["active",5,1]`},
			"reads a task that it never saw begin":                {[]string{"progress 5"}, `["active",5,1]`},
			"applies what came while it was reading":              {[]string{"queued 1", "started 4", "progress 5", "succeeded 6"}, `["succeeded",6,1]`},
			"drops what the answer already holds":                 {[]string{"queued 1", "queued 3", "retrying 4"}, `["active",5,1]`},
			"takes an id that is used anew after its task's end":  {[]string{"queued 1", "started 2", "succeeded 3", "queued 1 later"}, `["pending",1,0]`},
			"is not fooled by the replay of an ended task":        {[]string{"queued 1", "started 2", "succeeded 3", "queued 1"}, `["succeeded",3,0]`},
			"follows a task that an operator runs a second time":  {[]string{"queued 1", "started 2", "failed 3", "queued 4"}, `["pending",4,0]`},
			"forgets what it knew when a snapshot comes":          {[]string{"queued 1", "started 2", "snapshot 1"}, `["scheduled",1,0]`},
			"ignores the answer of a read that a snapshot outran": {[]string{"queued 1", "started 4", "snapshot 7"}, `["scheduled",7,1]`},
		} {
			t.Run(name, func(t *testing.T) {
				got := run(t, "/app/store.js", fmt.Sprintf(`async ({TaskStore}) => {
					let reads = 0;
					const task = (state, seq) => ({id: "A", queue: "q", type: "t", state, seq});
					const read = (queue, id, signal) => new Promise((resolve, reject) => {
						reads++;
						signal.addEventListener("abort", () => reject(signal.reason));
						setTimeout(() => resolve(task("active", 5)), 20);
					});
					const none = () => {};
					const store = new TaskStore({read, onChange: none, onReplace: none, onFinished: none});
					const states = {queued: "pending", started: "active", progress: "active", retrying: "retrying", succeeded: "succeeded", failed: "failed"};
					for (const text of %s) {
						const [kind, seq, later] = text.split(" ");
						const time = new Date(Date.UTC(2026, 0, 1, later ? 9 : 0, 0, Number(seq))).toISOString();
						if (kind === "snapshot") store.receive({type: "dev.seri.snapshot", data: {tasks: [task("scheduled", Number(seq))]}});
						else store.receive({type: "dev.seri.task." + kind, time, data: {task: "A", queue: "q", type: "t", state: states[kind], seq: Number(seq)}});
					}
					await new Promise((done) => setTimeout(done, 60));
					const {state, seq} = store.get("q\nA");
					return [state, seq, reads];
				}`, quote(c.events)))
				equalJSON(t, got, c.want)
			})
		}
	})
}

func equalJSON(t *testing.T, got, want string) {
	t.Helper()
	var g, w any
	if err := json.Unmarshal([]byte(got), &g); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(g, w) {
		t.Errorf("got %s, want %s", got, want)
	}
}
