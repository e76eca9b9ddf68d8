package compat

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/redistest"
)

// What asynqmon answers, as far as tests look at it.
type (
	monTask struct {
		ID, Queue, Type, Payload, State, Result, Deadline, Group string
		MaxRetry                                                 int    `json:"max_retry"`
		Retried                                                  int    `json:"retried"`
		Error                                                    string `json:"error_message"`
		LastFailedAt                                             string `json:"last_failed_at"`
		NextProcessAt                                            string `json:"next_process_at"`
		CompletedAt                                              string `json:"completed_at"`
		StartTime                                                string `json:"start_time"`
		Timeout                                                  int    `json:"timeout_seconds"`
		TTL                                                      int    `json:"ttl_seconds"`
		Orphaned                                                 bool   `json:"is_orphaned"`
	}
	monQueue struct {
		Queue                                                                                                           string
		Size, Groups, Active, Pending, Aggregating, Scheduled, Retry, Archived, Completed, Processed, Succeeded, Failed int
		Paused                                                                                                          bool
		Memory                                                                                                          int `json:"memory_usage_bytes"`
		Latency                                                                                                         int `json:"latency_msec"`
	}
	monDay struct {
		Queue, Date                  string
		Processed, Succeeded, Failed int
	}
	monTasks struct {
		Tasks []monTask
		Stats monQueue
	}
	monEntry struct {
		ID, Spec string
		Type     string `json:"task_type"`
	}
	monServer struct {
		Concurrency int
		Status      string
		Queues      map[string]int           `json:"queue_priorities"`
		Active      []struct{ Queue string } `json:"active_workers"`
	}
)

// counts returns what a queue holds by asynq's states.
func (q monQueue) counts() map[asynq.TaskState]int {
	return map[asynq.TaskState]int{
		asynq.TaskStatePending: q.Pending, asynq.TaskStateActive: q.Active, asynq.TaskStateScheduled: q.Scheduled, asynq.TaskStateRetry: q.Retry,
		asynq.TaskStateArchived: q.Archived, asynq.TaskStateCompleted: q.Completed, asynq.TaskStateAggregating: q.Aggregating,
	}
}

// monLists are asynqmon's lists of each state.
var monLists = map[asynq.TaskState]string{
	asynq.TaskStatePending: "/pending_tasks", asynq.TaskStateActive: "/active_tasks", asynq.TaskStateScheduled: "/scheduled_tasks",
	asynq.TaskStateRetry: "/retry_tasks", asynq.TaskStateArchived: "/archived_tasks", asynq.TaskStateCompleted: "/completed_tasks",
	asynq.TaskStateAggregating: "/groups/g/aggregating_tasks",
}

func TestAsynqmonReadsEveryKindOfTask(t *testing.T) {
	each(t, func(s *stage) {
		d := newDashboard(s.t, s.rdb)
		s.show()

		for name, e := range gallery {
			task := read[monTask](s.t, d, s.path("/tasks/"+url.PathEscape(name)))
			if task.ID != name || task.Queue != s.queue || task.Type != "mail:send" || task.Payload != "payload of "+name || task.MaxRetry != 3 || task.Timeout != 60 ||
				task.State != e.asynq.String() || task.Retried != e.retried || task.Error != e.err || (task.LastFailedAt == "") != (e.err == "") {
				s.t.Errorf("asynqmon sees %q as %+v", name, task)
			}
			if e.seri == seri.Succeeded && (task.Result != `{"ok":true}` || task.CompletedAt == "" || task.TTL < 3500 || task.TTL > 3600) {
				s.t.Errorf("asynqmon sees %q as %+v", name, task)
			}
			if waits := e.asynq == asynq.TaskStateScheduled || e.asynq == asynq.TaskStateRetry; waits {
				if at, err := time.Parse(time.RFC3339, task.NextProcessAt); err != nil || time.Until(at) > time.Hour+time.Minute || time.Since(at) > time.Minute {
					s.t.Errorf("asynqmon sees %q due at %q", name, task.NextProcessAt)
				}
			}
		}
		for _, state := range states {
			list := read[monTasks](s.t, d, s.path(monLists[state]+"?size=100"))
			var names []string
			for _, task := range list.Tasks {
				names = append(names, task.ID)
				if e := gallery[task.ID]; task.Type != "mail:send" || task.Payload != "payload of "+task.ID || task.Error != e.err || task.Retried != e.retried || task.Orphaned {
					s.t.Errorf("asynqmon lists %+v", task)
				}
			}
			if slices.Sort(names); !slices.Equal(names, in(state)) {
				s.t.Errorf("asynqmon lists %q as %v, want %q", names, state, in(state))
			}
			if n := list.Stats.counts()[state]; n != len(names) {
				s.t.Errorf("asynqmon counts %d as %v, want %d", n, state, len(names))
			}
		}

		q := read[struct {
			Current monQueue
			History []monDay
		}](s.t, d, s.path(""))
		if c := q.Current; c.Queue != s.queue || c.Size != len(gallery) || c.Groups != 1 || c.Memory <= 0 || c.Latency < 0 || c.Latency > 60_000 || c.Paused {
			s.t.Errorf("asynqmon sees the queue as %+v", c)
		}
		info := s.sound()
		if len(q.History) != 10 || q.History[0].Processed != info.Processed || q.History[0].Failed != info.Failed ||
			q.History[0].Succeeded != info.Processed-info.Failed || q.Current.Processed != info.Processed {
			s.t.Errorf("asynqmon's history is %+v, asynq v0.26 sees %+v", q, info)
		}
		groups := read[struct{ Groups []struct{ Group string } }](s.t, d, s.path("/groups"))
		if len(groups.Groups) != 1 || groups.Groups[0].Group != "g" {
			s.t.Errorf("asynqmon sees the groups %+v", groups)
		}
	})
}

// These list what all queues have; so the queues must be the test's own.
func TestAsynqmonListsSerisQueues(t *testing.T) {
	t.Parallel()
	s := newStage(t, redistest.New(t))
	d := newDashboard(t, s.rdb)
	s.show()

	queues := read[struct{ Queues []monQueue }](t, d, "queues").Queues
	if len(queues) != 1 || queues[0].Queue != s.queue || queues[0].Size != len(gallery) {
		t.Errorf("asynqmon lists %+v", queues)
	}
	days := read[struct{ Stats map[string][]monDay }](t, d, "queue_stats").Stats[s.queue]
	if today := time.Now().UTC().Format("2006-01-02"); len(days) != 90 || days[0].Date != today || days[0].Processed == 0 || days[0].Failed == 0 || days[1].Processed != 0 {
		t.Errorf("asynqmon's statistics are %+v", days[:min(2, len(days))])
	}
	if servers := read[struct{ Servers []any }](t, d, "servers").Servers; len(servers) != 0 {
		t.Errorf("asynqmon lists the servers %v", servers)
	}
	if entries := read[struct{ Entries []any }](t, d, "scheduler_entries").Entries; len(entries) != 0 {
		t.Errorf("asynqmon lists the scheduler's entries %v", entries)
	}
}

func TestAsynqmonSeesTheRedis(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, rdb redis.UniversalClient) {
		s := newStage(t, rdb)
		d := newDashboard(t, rdb)
		s.add("t1")

		info := read[struct {
			Cluster   bool
			Info      map[string]string
			Locations []struct{ Queue string } `json:"queue_locations"`
		}](t, d, "redis_info")

		if _, cluster := rdb.(*redis.ClusterClient); info.Cluster != cluster || len(info.Info) == 0 {
			t.Errorf("asynqmon sees %+v", info)
		} else if cluster && !slices.ContainsFunc(info.Locations, func(l struct{ Queue string }) bool { return l.Queue == s.queue }) {
			t.Errorf("asynqmon does not see where the queue is: %+v", info.Locations)
		}
	})
}

func TestAsynqmonActsOnSerisTasks(t *testing.T) {
	t.Parallel()
	type route struct {
		path  string // with {id} it is about one task; with :batch the IDs are in the body
		state asynq.TaskState
		after seri.State // empty: deleted
	}
	var routes []route
	for state, of := range map[asynq.TaskState]struct {
		list             string
		runs, archivable bool
	}{
		asynq.TaskStatePending:     {"/pending_tasks", false, true},
		asynq.TaskStateScheduled:   {"/scheduled_tasks", true, true},
		asynq.TaskStateRetry:       {"/retry_tasks", true, true},
		asynq.TaskStateArchived:    {"/archived_tasks", true, false},
		asynq.TaskStateCompleted:   {"/completed_tasks", false, false},
		asynq.TaskStateAggregating: {"/groups/g/aggregating_tasks", true, true},
	} {
		routes = append(routes, route{of.list + "/{id}", state, ""}, route{of.list + ":delete_all", state, ""}, route{of.list + ":batch_delete", state, ""})
		if of.runs {
			routes = append(routes, route{of.list + "/{id}:run", state, seri.Pending}, route{of.list + ":run_all", state, seri.Pending}, route{of.list + ":batch_run", state, seri.Pending})
		}
		if of.archivable {
			routes = append(routes, route{of.list + "/{id}:archive", state, seri.Failed}, route{of.list + ":archive_all", state, seri.Failed}, route{of.list + ":batch_archive", state, seri.Failed})
		}
	}
	redistest.Each(t, func(t *testing.T, rdb redis.UniversalClient) {
		d := newDashboard(t, rdb)
		for _, r := range routes {
			t.Run(r.path, func(t *testing.T) {
				s := newStage(t, rdb)
				ids := in(r.state)
				s.show(ids...)
				method := http.MethodPost
				if r.after == "" && !strings.Contains(r.path, ":batch") {
					method = http.MethodDelete
				}

				switch {
				case strings.Contains(r.path, "{id}"):
					for _, id := range ids {
						d.call(t, method, s.path(strings.Replace(r.path, "{id}", url.PathEscape(id), 1)), nil)
					}
				case strings.Contains(r.path, ":batch"):
					answer := d.call(t, method, s.path(r.path), map[string]any{"task_ids": ids})
					if strings.Contains(string(answer), `"failed_ids":["`) || strings.Contains(string(answer), `"error_ids":["`) {
						t.Errorf("asynqmon answers %s", answer)
					}
				default:
					d.call(t, method, s.path(r.path), nil)
				}

				infos, err := s.Infos(t.Context(), s.q, ids...)
				s.check(err)
				if r.after == "" && len(infos) != 0 || r.after != "" && len(infos) != len(ids) {
					t.Fatalf("left: %+v", infos)
				}
				for _, info := range infos {
					if info.State != r.after {
						t.Errorf("info %+v", info)
					}
				}
				s.sound()
			})
		}
	})
}

func TestAsynqmonPausesResumesAndDeletesAQueue(t *testing.T) {
	each(t, func(s *stage) {
		d := newDashboard(s.t, s.rdb)
		s.add("t1")

		d.call(s.t, http.MethodPost, s.path(":pause"), nil)
		if b := s.dequeue(); !b.Paused {
			s.t.Errorf("batch %+v", b)
		}
		d.call(s.t, http.MethodPost, s.path(":resume"), nil)
		s.complete(s.lease("t1"))
		d.call(s.t, http.MethodDelete, s.path(""), nil)

		if _, err := s.Queue(s.ctx(), s.q); err == nil {
			s.t.Error("the queue is still there")
		}
	})
}
