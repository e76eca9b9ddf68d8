package compat

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/redistest"
)

// needsCLI skips the test where asynq's CLI is not installed. It is a module that not every module proxy has, so it is not
// built here.
func needsCLI(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("asynq"); err != nil {
		t.Skip("no asynq on the PATH; `go install github.com/hibiken/asynq/tools/asynq@latest` brings it")
	}
}

// asynq runs asynq's CLI, which must succeed, and returns what it prints.
func (s *stage) asynq(args ...string) string {
	s.t.Helper()
	switch rdb := s.rdb.(type) {
	case *redis.Client:
		args = append(args, "--uri", rdb.Options().Addr, "--db", strconv.Itoa(rdb.Options().DB))
	case *redis.ClusterClient:
		args = append(args, "--cluster", "--cluster_addrs", strings.Join(rdb.Options().Addrs, ","))
	}
	out, err := exec.CommandContext(s.ctx(), "asynq", args...).CombinedOutput()
	if err != nil {
		s.t.Fatalf("asynq %q: %v\n%s", args, err, out)
	}
	return string(out)
}

var (
	rule = regexp.MustCompile(`^(-+ *)+$`) // below a table's heading
	gap  = regexp.MustCompile(` {2,}`)     // between its cells
)

// rows returns the cells of the first printed table.
func rows(text string) (table [][]string) {
	in := false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case in && line == "":
			return table
		case in:
			table = append(table, gap.Split(line, -1))
		default:
			in = rule.MatchString(line)
		}
	}
	return table
}

// counted is how the CLI prints how many exhibits are in each state.
func counted() string {
	var cells []string
	for _, state := range []asynq.TaskState{
		asynq.TaskStateActive, asynq.TaskStatePending, asynq.TaskStateAggregating, asynq.TaskStateScheduled,
		asynq.TaskStateRetry, asynq.TaskStateArchived, asynq.TaskStateCompleted,
	} {
		cells = append(cells, strconv.Itoa(len(in(state))))
	}
	return strings.Join(cells, " ")
}

func TestStockCLIPrintsWhatIsSo(t *testing.T) {
	needsCLI(t)
	each(t, func(s *stage) {
		s.show()
		info := s.sound()
		day := []string{strconv.Itoa(info.Processed), strconv.Itoa(info.Failed)}

		inspected := s.asynq("queue", "inspect", s.queue)
		if !strings.Contains(inspected, fmt.Sprintf("Size:   %d\nGroups: 1\nPaused: false", len(gallery))) || strings.Join(rows(inspected)[0], " ") != counted() {
			s.t.Errorf("asynq queue inspect prints\n%s", inspected)
		}
		if history := rows(s.asynq("queue", "history", s.queue)); len(history) != 10 || !slices.Equal(history[0][1:3], day) || history[1][1] != "0" {
			s.t.Errorf("asynq queue history prints %q, want first %q", history, day)
		}
		if groups := s.asynq("group", "ls", "-q", s.queue); groups != "g\n" {
			s.t.Errorf("asynq group ls prints %q", groups)
		}
		for _, state := range states {
			listed := s.asynq("task", "ls", "-q", s.queue, "-s", state.String(), "-g", "g")
			var names []string
			for _, row := range rows(listed) {
				names = append(names, row[0])
				if row[1] != "mail:send" || row[2] != "payload of "+row[0] || !strings.Contains(strings.Join(row, " "), gallery[row[0]].err) {
					s.t.Errorf("asynq task ls prints %q", row)
				}
			}
			if slices.Sort(names); !slices.Equal(names, in(state)) {
				s.t.Errorf("asynq task ls -s %v prints\n%s", state, listed)
			}
		}
		for name, e := range gallery {
			task := s.asynq("task", "inspect", "-q", s.queue, "-i", name)
			for _, want := range []string{
				"Queue:   " + s.queue, "ID:      " + name, "Type:    mail:send", "State:   " + e.asynq.String(), fmt.Sprintf("Retried: %d/3", e.retried),
			} {
				if !strings.Contains(task, want+"\n") {
					s.t.Errorf("asynq task inspect prints, without %q,\n%s", want, task)
				}
			}
			if strings.Contains(task, "Error message: ") != (e.err != "") || !strings.Contains(task, e.err) {
				s.t.Errorf("asynq task inspect prints, without the error %q,\n%s", e.err, task)
			}
		}
	})
}

// These print what all queues have; so the queues must be the test's own.
func TestStockCLIPrintsSerisQueuesAndWorkers(t *testing.T) {
	needsCLI(t)
	t.Parallel()
	s := newStage(t, redistest.New(t))
	s.show()

	if stats := s.asynq("stats"); strings.Join(rows(stats)[0], " ") != counted() {
		t.Errorf("asynq stats prints\n%s", stats)
	}
	if queues := s.asynq("queue", "ls"); queues != s.queue+"\n" {
		t.Errorf("asynq queue ls prints %q", queues)
	}
	if servers := s.asynq("server", "ls"); servers != "No running servers\n" {
		t.Errorf("asynq server ls prints %q", servers)
	}
	if entries := s.asynq("cron", "ls"); entries != "No scheduler entries\n" {
		t.Errorf("asynq cron ls prints %q", entries)
	}

	s.check(s.Pause(s.ctx(), s.q))
	s.work(handler(func(context.Context, []byte) ([]byte, error) { return nil, nil }))
	s.until("asynq sees the worker", func() bool { return len(s.servers()) == 1 })
	if servers := rows(s.asynq("server", "ls")); len(servers) != 1 || servers[0][2] != "active" || servers[0][3] != "0/4" || servers[0][4] != s.queue+":1" {
		t.Errorf("asynq server ls prints %q", servers)
	}
}

func TestStockCLIActsOnSerisTasks(t *testing.T) {
	needsCLI(t)
	for name, call := range map[string]struct {
		exhibit string
		args    []string // {q} and {id} stand for the queue and the task
		after   seri.State
	}{
		"run":         {"exhausted", []string{"task", "run", "-q", "{q}", "-i", "{id}"}, seri.Pending},
		"archive":     {"scheduled", []string{"task", "archive", "-q", "{q}", "-i", "{id}"}, seri.Failed},
		"delete":      {"revoked", []string{"task", "delete", "-q", "{q}", "-i", "{id}"}, ""},
		"run all":     {"its worker vanished again", []string{"task", "runall", "-q", "{q}", "-s", "retry"}, seri.Pending},
		"archive all": {"no worker knows its type", []string{"task", "archiveall", "-q", "{q}", "-s", "scheduled"}, seri.Failed},
		"delete all":  {"succeeded", []string{"task", "deleteall", "-q", "{q}", "-s", "completed"}, ""},
		"cancel":      {"active", []string{"task", "cancel", "{id}"}, seri.Active}, // a word to the worker, here to none
		"remove":      {"revoked", []string{"queue", "rm", "{q}", "--force"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(s *stage) {
				s.show(call.exhibit)
				args := slices.Clone(call.args)
				for i, arg := range args {
					args[i] = strings.NewReplacer("{q}", s.queue, "{id}", call.exhibit).Replace(arg)
				}

				s.asynq(args...)

				infos, err := s.Infos(s.ctx(), s.q, call.exhibit)
				s.check(err)
				if call.after == "" && len(infos) != 0 || call.after != "" && (len(infos) != 1 || infos[0].State != call.after) {
					s.t.Errorf("infos %+v", infos)
				}
			})
		})
	}
}

func TestStockCLIPausesEnqueuesAndResumes(t *testing.T) {
	needsCLI(t)
	each(t, func(s *stage) {
		s.asynq("task", "enqueue", "--type_name", "mail:send", "--payload", "p", "--queue", s.queue, "--id", "t1", "--retention", "1h")
		s.asynq("queue", "pause", s.queue)
		if b := s.dequeue(); !b.Paused {
			s.t.Errorf("batch %+v", b)
		}
		s.asynq("queue", "resume", s.queue)
		l := s.lease("t1")
		if l.Message.Type != "mail:send" || string(l.Message.Payload) != "p" || l.Message.Retention != 3600 {
			s.t.Errorf("lease %+v", l)
		}
		s.complete(l)
		s.sound()
	})
}

func TestStockCLIPrintsASchedulersEntries(t *testing.T) {
	needsCLI(t)
	each(t, func(s *stage) {
		id := s.schedule()
		s.work(handler(func(context.Context, []byte) ([]byte, error) { return nil, nil }))
		s.until("asynq cron ls prints the entry", func() bool {
			printed := s.asynq("cron", "ls")
			return strings.Contains(printed, id) && strings.Contains(printed, "@every 1s")
		})
		s.until("asynq cron history prints a tick", func() bool { return len(rows(s.asynq("cron", "history", id))) > 0 })
	})
}
