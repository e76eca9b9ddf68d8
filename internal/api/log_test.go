package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/client"
)

func logLines(from, to int) (lines []client.LogLine) {
	for i := from; i < to; i++ {
		lines = append(lines, client.LogLine{Time: time.Unix(int64(i), 0).UTC(), Level: "INFO", Message: fmt.Sprint(i), Attempt: 1})
	}
	return lines
}

func TestATasksLogIsShown(t *testing.T) {
	t.Parallel()
	begun, ended := time.Unix(1000, 0), time.Unix(2000, 0)
	place := func(stream string) client.LogPlace {
		return client.LogPlace{Region: "eu-central-1", Group: "g", Stream: stream, From: begun}
	}
	for sentence, c := range map[string]struct {
		log    client.TaskLog
		read   map[string]int // lines in each stream
		fails  error
		query  string
		status int
		want   string // the lines, "cut" if it says so, and the streams
	}{
		"from the store":                    {log: client.TaskLog{Lines: logLines(0, 3)}, status: 200, want: "0 1 2"},
		"of one that has logged nothing":    {status: 200, want: ""},
		"the newest of many":                {log: client.TaskLog{Lines: logLines(0, 9)}, query: "&limit=2", status: 200, want: "7 8 cut"},
		"of which older lines are gone":     {log: client.TaskLog{Lines: logLines(5, 6), Cut: true}, status: 200, want: "5 cut"},
		"from CloudWatch":                   {log: client.TaskLog{Places: []client.LogPlace{place("a")}}, read: map[string]int{"a": 3}, status: 200, want: "0 1 2 [a]"},
		"of two workers in CloudWatch":      {log: client.TaskLog{Places: []client.LogPlace{place("a"), place("b"), place("a")}}, read: map[string]int{"a": 2, "b": 1}, status: 200, want: "0 0 1 [a b a]"},
		"of which CloudWatch has more":      {log: client.TaskLog{Places: []client.LogPlace{place("a"), place("b")}}, read: map[string]int{"a": 9, "b": 9}, query: "&limit=4", status: 200, want: "0 1 2 3 cut [a b]"},
		"which CloudWatch does not give":    {log: client.TaskLog{Places: []client.LogPlace{place("a")}}, fails: errors.New("access denied: secret"), status: 503},
		"with a limit that is too high":     {query: "&limit=1001", status: 422},
		"of a task that there is not":       {query: "&queue=other", status: 404},
		"from both, after a move to AWS":    {log: client.TaskLog{Lines: logLines(0, 1), Places: []client.LogPlace{place("a")}}, read: map[string]int{"a": 1}, status: 200, want: "0 0 [a]"},
		"without anybody to ask CloudWatch": {log: client.TaskLog{Places: []client.LogPlace{place("a")}}, status: 200, want: "[a]"},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			tasks := &fakeTasks{log: c.log, tasks: map[string]seri.Info{"default/t1": {ID: "t1", Queue: "default", FinishedAt: ended}}}
			config := Config{Tasks: tasks, Insecure: true}
			if c.read != nil || c.fails != nil {
				config.LogReader = func(_ context.Context, from client.LogPlace, task string, until time.Time, limit int) ([]client.LogLine, bool, error) {
					if task != "t1" || !until.Equal(ended) || !from.From.Equal(begun) || from.Region != "eu-central-1" {
						t.Errorf("asked for %s in %+v until %v", task, from, until)
					}
					n := c.read[from.Stream]
					return logLines(0, min(n, limit)), n > limit, c.fails
				}
			}
			query := c.query
			if !strings.Contains(query, "queue=") {
				query += "&queue=default"
			}
			w := do(newServer(t, config), http.MethodGet, "/v1/tasks/t1/logs?"+strings.TrimPrefix(query, "&"), "")
			if w.Code != c.status || strings.Contains(w.Body.String(), "secret") {
				t.Fatalf("answered %d %s, want %d", w.Code, w.Body, c.status)
			}
			if c.status != http.StatusOK {
				return
			}
			var got Log
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			var words, streams []string
			for _, l := range got.Lines {
				words = append(words, l.Message)
			}
			if got.Cut {
				words = append(words, "cut")
			}
			for _, p := range got.Places {
				streams = append(streams, p.Stream)
			}
			if len(streams) > 0 {
				words = append(words, fmt.Sprint(streams))
			}
			if text := strings.Join(words, " "); text != c.want {
				t.Errorf("shows %q, want %q: %s", text, c.want, w.Body)
			}
		})
	}
}
