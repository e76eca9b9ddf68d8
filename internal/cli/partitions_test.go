package cli_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/api"
	"github.com/seri-queue/seri/internal/cli"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/internal/wire"
	"github.com/seri-queue/seri/worker"
)

// newDividedSite is a site whose one queue has eight partitions.
func newDividedSite(t *testing.T, rdb redis.UniversalClient) (s *site, queue string) {
	t.Helper()
	queue = redistest.Queue(t)
	return newSiteOn(t, rdb, worker.Config{
		Queues: map[string]int{queue: 1}, Partitions: map[string]int{queue: 8},
	}, "--partitions", queue+"=8"), queue
}

func TestCommandsShowADividedQueueAsOne(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, rdb redis.UniversalClient) {
		s, queue := newDividedSite(t, rdb)
		go func() { s.release <- struct{}{} }()
		id := redistest.Queue(t) // found among all tasks of the shared cluster

		r := s.run("enqueue", "published.gate", `{"text":"x"}`, "--queue", queue, "--id", id, "--partition-key", "user:42", "--progress")
		if r.code != 0 || r.out != "{\"text\":\"x\"}\n" || !strings.Contains(r.err, "succeeded") {
			t.Errorf("enqueue ends with %d, prints %q %q", r.code, r.out, r.err)
		}
		if out := s.must("enqueue", "published.echo", `{"text":"gone"}`, "--queue", queue, "--wait", "--retention", "0s"); out != "{\"text\":\"gone\"}\n" {
			t.Errorf("a task that is not kept: %q", out)
		}
		for _, args := range [][]string{{"inspect", "--task", id}, {"inspect", queue, "--task", id}} {
			if out := s.must(args...); !regexp.MustCompile(`(?m)^queue +` + queue + `\npartition +6$`).MatchString(out) {
				t.Errorf("seri %q:\n%s", args, out)
			}
		}
		if out := s.must("inspect", queue); !strings.Contains(out, id) {
			t.Errorf("the queue's tasks:\n%s", out)
		}
		overview := s.untilMatch(`(?m)^`+queue+` +0 +0 +0 +0 +1 +0 +- +2 +0 +0\n  :0 .*(\n  :[1-7] .*){7}`, "inspect")
		if !regexp.MustCompile(`(?m)^published.echo +\d+ .*`+queue+`(,|$)`).MatchString(overview) || strings.Contains(overview, queue+":1") {
			t.Errorf("the types in the overview:\n%s", overview)
		}
		s.must("pause", queue)
		waiting := strings.TrimSpace(s.must("enqueue", "published.echo", "{}", "--queue", queue, "--partition-key", "never used before"))
		if out := rowsOf(s.must("inspect"), queue); strings.Count(out, "paused") != 9 {
			t.Errorf("a paused queue and its partitions:\n%s", out)
		}
		if out := s.must("revoke", waiting); !strings.Contains(out, "is revoked") {
			t.Errorf("revoke: %s", out)
		}
		s.must("resume", queue)
		if out := rowsOf(s.must("inspect"), queue); out == "" || strings.Contains(out, "paused") {
			t.Errorf("a queue that was resumed:\n%s", out)
		}
	})
}

// rowsOf returns the rows of a queue with eight partitions out of an overview, in which other tests' queues may be.
func rowsOf(overview, queue string) string {
	return regexp.MustCompile(`(?m)^` + queue + ` .*(\n  :.*){8}$`).FindString(overview)
}

// call makes a request of JSON and decodes the answer into one.
func call(t *testing.T, method, address, body string, into any, header ...string) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return answer
}

func TestTheAPIShowsADividedQueueAsOne(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, rdb redis.UniversalClient) {
		s, queue := newDividedSite(t, rdb)
		s.must("enqueue", "published.echo", "{}", "--queue", queue, "--wait") // the queue is there
		s.must("pause", queue)
		var tasks []string
		for i := range 12 {
			tasks = append(tasks, fmt.Sprintf(`{"type":"published.echo","payload":{"n":%d},"queue":%q,"id":"%s-%d"}`, i, queue, queue, i))
		}
		var batch api.BatchAnswer
		call(t, "POST", s.url+"/v1/tasks/batch", `{"tasks":[`+strings.Join(tasks, ",")+`]}`, &batch)
		var want []string
		partitions := make(map[int]bool)
		for _, item := range batch.Items {
			if item.Status != http.StatusAccepted || item.Task.Queue != queue {
				t.Fatalf("an item of the batch: %+v", item)
			}
			partitions[item.Task.Partition] = true
			want = append(want, item.Task.ID)
			var found wire.Task
			if call(t, "GET", s.url+"/v1/tasks/"+item.Task.ID, "", &found); found.Queue != queue || found.Partition != item.Task.Partition {
				t.Errorf("a task of the batch is %+v, was accepted as %+v", found, *item.Task)
			}
		}
		if len(partitions) < 3 {
			t.Errorf("twelve tasks are in partitions %v", partitions)
		}

		var got []string
		for cursor, more := "", true; more; more = cursor != "" {
			var page api.Page
			call(t, "GET", s.url+"/v1/queues/"+queue+"/tasks?"+url.Values{"state": {"pending"}, "limit": {"5"}, "cursor": {cursor}}.Encode(), "", &page)
			for _, task := range page.Tasks {
				got = append(got, task.ID)
			}
			cursor = page.Next
		}
		slices.Sort(got)
		if slices.Sort(want); !slices.Equal(got, want) {
			t.Errorf("the pages hold %q, want %q", got, want)
		}

		// The same request twice is one task, found wherever it is.
		keyed := fmt.Sprintf(`{"type":"published.echo","payload":{},"queue":%q,"partition_key":"user:42"}`, queue)
		var first, second wire.Task
		call(t, "POST", s.url+"/v1/tasks", keyed, &first, "Idempotency-Key", queue)
		again := call(t, "POST", s.url+"/v1/tasks", keyed, &second, "Idempotency-Key", queue)
		if first.Partition != 6 || second.Partition != 6 || first.ID != second.ID || again.Header.Get("Idempotent-Replayed") != "true" {
			t.Errorf("the first answer is %+v, the second %+v %v", first, second, again.Header)
		}
		// The same ID again is a conflict that shows the task.
		var problem struct {
			Status int       `json:"status"`
			Task   wire.Task `json:"task"`
		}
		if call(t, "POST", s.url+"/v1/tasks", tasks[3], &problem); problem.Status != http.StatusConflict || problem.Task.ID != queue+"-3" || problem.Task.Queue != queue {
			t.Errorf("a conflict: %+v", problem)
		}

		var queues api.Queues
		call(t, "GET", s.url+"/v1/queues", "", &queues)
		i := slices.IndexFunc(queues.Queues, func(q api.Queue) bool { return q.Name == queue })
		if i < 0 || queues.Queues[i].Pending != 13 || !queues.Queues[i].Paused || len(queues.Queues[i].Partitions) != 8 || queues.Queues[i].Partitions[6].Pending == 0 {
			t.Errorf("the queues: %+v", queues)
		}
		var refused struct {
			Errors []struct{ Location, Message string } `json:"errors"`
		}
		call(t, "GET", s.url+"/v1/events?queue="+queue+":1", "", &refused)
		if len(refused.Errors) != 1 || refused.Errors[0].Location != "query.queue" || !strings.Contains(refused.Errors[0].Message, "partition") {
			t.Errorf("the events of a partition: %+v", refused)
		}
		call(t, "POST", s.url+"/v1/tasks", `{"type":"published.echo","payload":{},"partition_key":"a\u0000b"}`, &refused)
		if len(refused.Errors) != 1 || refused.Errors[0].Location != "body.partition_key" {
			t.Errorf("a key with a control character: %+v", refused)
		}
	})
}

func TestAnAPIThatDividesAQueueOtherwiseDoesNotStart(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, rdb redis.UniversalClient) {
		queue, at := redistest.Queue(t), redistest.URL(rdb)
		seri := func(args ...string) result {
			var out, errs bytes.Buffer
			code := cli.Main(t.Context(), append(args, "--redis-url", at), cli.Streams{In: strings.NewReader(""), Out: &out, Err: &errs})
			return result{code, out.String(), errs.String()}
		}
		row := regexp.MustCompile(`(?m)^` + queue + ` +8 +\d( \+ \d)*$`)
		if r := seri("partitions", queue+"=8"); r.code != 0 || !row.MatchString(r.out) {
			t.Fatalf("partitions ends with %d, prints %q %q", r.code, r.out, r.err)
		}
		if r := seri("partitions"); r.code != 0 || !row.MatchString(r.out) {
			t.Errorf("partitions ends with %d, prints %q %q", r.code, r.out, r.err)
		}
		for _, role := range []string{"api", "worker"} {
			flags := map[string][]string{"api": {"--insecure-dev", "--http-addr=127.0.0.1:0"}, "worker": {"--queues", queue, "--output-dir", t.TempDir()}}
			r := seri(append([]string{role, "--partitions", queue + "=4"}, flags[role]...)...)
			if r.code != 1 || !strings.Contains(r.err, `is divided into 8 partitions, and this program declares 4`) {
				t.Errorf("%s ends with %d, says %q", role, r.code, r.err)
			}
		}
		if r := seri("partitions", queue+"=0"); r.code != 0 || strings.Contains(r.out, queue) {
			t.Errorf("partitions ends with %d, prints %q %q", r.code, r.out, r.err)
		}
		for change, says := range map[string]string{"images": "such as images=8", "images=many": "such as images=8", "images=65": "must be 1 to 64", "=2": "queue is empty"} {
			if r := seri("partitions", change); r.code != 1 || !strings.Contains(r.err, says) {
				t.Errorf("partitions %s ends with %d, says %q", change, r.code, r.err)
			}
		}
	})
}

func TestAQueueThatNobodyServesIsMarked(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t)
	s := newSiteOn(t, rdb, worker.Config{Queues: map[string]int{"served": 1, "images": 1}})
	for _, queue := range []string{"served", "left"} {
		s.must("enqueue", "published.gate", "{}", "--queue", queue)
	}
	s.untilMatch(`(?m)^left +unserved (.*\n)*^served +[0-9]`, "inspect")

	s.serve("--partitions", "images=4") // declared too late for the worker
	s.must("enqueue", "published.echo", "{}", "--queue", "images", "--partition-key", "user:42")
	out := s.untilMatch(`(?m)^images +unserved .*\n  :0 +0 .*(\n  :[1-3] +unserved .*){3}$`, "inspect")
	if !strings.Contains(out, "images has partitions that no live worker serves: give the workers SERI_PARTITIONS=images=4.") {
		t.Errorf("the overview:\n%s", out)
	}
	if out := s.must("inspect", "--json"); strings.Count(out, `"unserved": true`) != 5 {
		t.Errorf("as JSON:\n%s", out)
	}
}
