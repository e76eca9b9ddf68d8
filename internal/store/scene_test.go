package store_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/internal/store"
	"github.com/seri-queue/seri/internal/wire"
)

// scene is a store and a queue of its own for one test.
type scene struct {
	*store.Store
	t   *testing.T
	rdb redis.UniversalClient
	q   keys.Queue
}

func newScene(t *testing.T, rdb redis.UniversalClient) *scene {
	t.Helper()
	return &scene{store.New(rdb, store.Config{}), t, rdb, keys.Queue(redistest.Queue(t))}
}

// each runs a test on one Redis, on a cluster of three masters and on the embedded store.
func each(t *testing.T, test func(s *scene)) {
	t.Helper()
	t.Parallel()
	redistest.EachWithEmbedded(t, func(t *testing.T, rdb redis.UniversalClient) { test(newScene(t, rdb)) })
}

// eachServer is [each] without the embedded store, whose Lua takes long over a thousand tasks.
func eachServer(t *testing.T, test func(s *scene)) {
	t.Helper()
	t.Parallel()
	redistest.Each(t, func(t *testing.T, rdb redis.UniversalClient) { test(newScene(t, rdb)) })
}

// eachCase is [each] for every case of a table from sentence to case.
func eachCase[C any](t *testing.T, cases map[string]C, test func(s *scene, c C)) {
	t.Helper()
	t.Parallel()
	for sentence, c := range cases {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			redistest.EachWithEmbedded(t, func(t *testing.T, rdb redis.UniversalClient) { test(newScene(t, rdb), c) })
		})
	}
}

func (s *scene) ctx() context.Context { return s.t.Context() }

// must ends the test on an error of the call as a whole, and on one of its items.
func (s *scene) must(errs []error, err error) {
	s.t.Helper()
	if err := errors.Join(append(slices.Clone(errs), err)...); err != nil {
		s.t.Fatal(err)
	}
}

// message returns a task with the terms that most tests want; change alters it.
func (s *scene) message(id string, change ...func(*seri.Message)) seri.Message {
	m := seri.Message{
		ID: id, Type: "mail:send", Queue: string(s.q), Payload: []byte(`{"to":"` + id + `"}`),
		MaxRetries: 3, Timeout: time.Minute, Retention: time.Hour,
	}
	for _, c := range change {
		c(&m)
	}
	return m
}

// add enqueues one task, which must be accepted.
func (s *scene) add(id string, change ...func(*seri.Message)) seri.Message {
	s.t.Helper()
	m := s.message(id, change...)
	s.must(s.Enqueue(s.ctx(), s.q, []seri.Message{m}))
	return m
}

// addMany enqueues n tasks named prefix0, prefix1, … in one call.
func (s *scene) addMany(prefix string, n int, change ...func(*seri.Message)) []string {
	s.t.Helper()
	messages, ids := make([]seri.Message, n), make([]string, n)
	for i := range messages {
		ids[i] = prefix + strconv.Itoa(i)
		messages[i] = s.message(ids[i], change...)
	}
	s.must(s.Enqueue(s.ctx(), s.q, messages))
	return ids
}

func (s *scene) dequeue(n int, types ...string) store.Batch {
	s.t.Helper()
	b, err := s.Dequeue(s.ctx(), s.q, store.Wanted{Tasks: n, Lease: 30 * time.Second, Worker: "host:1:w", Types: types})
	if err != nil {
		s.t.Fatal(err)
	}
	return b
}

// lease takes the next task, which must be there.
func (s *scene) lease() *store.Lease {
	s.t.Helper()
	b := s.dequeue(1)
	if len(b.Leases) != 1 {
		s.t.Fatalf("no task to lease: %+v", b)
	}
	return &b.Leases[0]
}

// start is add and lease.
func (s *scene) start(id string, change ...func(*seri.Message)) *store.Lease {
	s.t.Helper()
	s.add(id, change...)
	return s.lease()
}

// lapse makes leases run out, as time would.
func (s *scene) lapse(ids ...string) {
	s.t.Helper()
	for _, id := range ids {
		if n, err := s.rdb.ZAddArgs(s.ctx(), s.q.Lease(), redis.ZAddArgs{XX: true, Ch: true, Members: []redis.Z{{Score: 1, Member: id}}}).Result(); err != nil || n != 1 {
			s.t.Fatalf("lapse %s: %d changed, %v", id, n, err)
		}
	}
}

// come makes a waiting task due, as time would. Its exact time goes too far back to matter.
func (s *scene) come(id string) {
	s.t.Helper()
	for _, set := range []string{s.q.Scheduled(), s.q.Retry(), s.q.Due()} {
		if err := s.rdb.ZAddArgs(s.ctx(), set, redis.ZAddArgs{XX: true, Members: []redis.Z{{Score: 1, Member: id}}}).Err(); err != nil {
			s.t.Fatal(err)
		}
	}
}

var policy = store.CrashPolicy{Max: 3, Backoff: time.Second}

func (s *scene) recover() store.Recovered {
	s.t.Helper()
	r, err := s.Recover(s.ctx(), s.q, 1000, policy)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

func (s *scene) forward() store.Forwarded {
	s.t.Helper()
	f, err := s.Forward(s.ctx(), s.q, 1000)
	if err != nil {
		s.t.Fatal(err)
	}
	return f
}

func (s *scene) info(id string) seri.Info {
	s.t.Helper()
	info, err := s.Info(s.ctx(), s.q, id)
	if err != nil {
		s.t.Fatal(err)
	}
	return info
}

// field reads one field of a task's hash; empty if it is absent.
func (s *scene) field(id, name string) string {
	s.t.Helper()
	v, err := s.rdb.HGet(s.ctx(), s.q.Task(id), name).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		s.t.Fatal(err)
	}
	return v
}

func (s *scene) raw(id string) wire.Message {
	s.t.Helper()
	m, err := wire.DecodeMessage([]byte(s.field(id, "msg")))
	if err != nil {
		s.t.Fatal(err)
	}
	return m
}

// now is Redis' clock.
func (s *scene) now() time.Time {
	s.t.Helper()
	now, err := s.rdb.Time(s.ctx()).Result()
	if err != nil {
		s.t.Fatal(err)
	}
	return now
}

// events returns the queue's events in order.
func (s *scene) events() []seri.Event {
	s.t.Helper()
	entries, err := s.rdb.XRange(s.ctx(), s.q.Events(), "-", "+").Result()
	if err != nil {
		s.t.Fatal(err)
	}
	var all []seri.Event
	for _, entry := range entries {
		text, _ := entry.Values["e"].(string)
		decoded, err := wire.DecodeEvents(string(s.q), text)
		if err != nil || len(entry.Values) != 1 {
			s.t.Fatalf("entry %v: %v", entry, err)
		}
		all = append(all, decoded...)
	}
	return all
}

// story returns a task's events, after checking that they are numbered 1, 2, 3, …, that they say whose they are, and
// that the last number is the one on record.
func (s *scene) story(id string) []seri.Event {
	s.t.Helper()
	var story []seri.Event
	for _, e := range s.events() {
		if e.Task == id {
			story = append(story, e)
			if e.Seq != uint64(len(story)) {
				s.t.Errorf("task %s: event %d has the number %d", id, len(story), e.Seq)
			}
			if e.Type == "" || e.Queue != string(s.q) || e.Time.IsZero() {
				s.t.Errorf("task %s: event lacks type, queue or time: %+v", id, e)
			}
		}
	}
	if seq := s.field(id, "seq"); seq != "" && seq != strconv.Itoa(len(story)) {
		s.t.Errorf("task %s: %d events, but the record counts %s", id, len(story), seq)
	}
	return story
}

// tells checks a task's events against a sentence such as "queued started succeeded", and returns the last one.
func (s *scene) tells(id, want string) seri.Event {
	s.t.Helper()
	var kinds []string
	story := s.story(id)
	for _, e := range story {
		kinds = append(kinds, string(e.Kind))
	}
	if got := strings.Join(kinds, " "); got != want {
		s.t.Errorf("task %s: events %q, want %q", id, got, want)
	}
	if len(story) == 0 {
		return seri.Event{}
	}
	return story[len(story)-1]
}

// counts checks the totals and those of the day.
func (s *scene) counts(processed, failed int64) {
	s.t.Helper()
	day := ":" + s.now().UTC().Format(time.DateOnly)
	for key, want := range map[string]int64{
		s.q.Processed(): processed, s.q.Processed() + day: processed, s.q.Failed(): failed, s.q.Failed() + day: failed,
	} {
		got, err := s.rdb.Get(s.ctx(), key).Int64()
		if err != nil && !errors.Is(err, redis.Nil) {
			s.t.Fatal(err)
		}
		if got != want {
			s.t.Errorf("%s is %d, want %d", key, got, want)
		}
	}
}

// places returns the containers that hold id, as often as they hold it.
func (s *scene) places(id string) []string {
	s.t.Helper()
	var found []string
	for name, key := range map[string]string{"pending": s.q.Pending(), "active": s.q.Active()} {
		ids, err := s.rdb.LRange(s.ctx(), key, 0, -1).Result()
		if err != nil {
			s.t.Fatal(err)
		}
		for _, member := range ids {
			if member == id {
				found = append(found, name)
			}
		}
	}
	for name, key := range map[string]string{"scheduled": s.q.Scheduled(), "retry": s.q.Retry(), "archived": s.q.Archived(), "completed": s.q.Completed()} {
		if err := s.rdb.ZScore(s.ctx(), key, id).Err(); err == nil {
			found = append(found, name)
		} else if !errors.Is(err, redis.Nil) {
			s.t.Fatal(err)
		}
	}
	slices.Sort(found)
	return found
}

// stands checks that id is in the one container that its state names, and leased if and only if it is active.
func (s *scene) stands(id, state string) {
	s.t.Helper()
	if got := s.places(id); len(got) != 1 || got[0] != state {
		s.t.Errorf("task %s is in %v, want it in %s alone", id, got, state)
	}
	if got := s.field(id, "state"); got != state {
		s.t.Errorf("task %s has the state %q, want %q", id, got, state)
	}
	_, err := s.rdb.ZScore(s.ctx(), s.q.Lease(), id).Result()
	if leased := err == nil; leased != (state == "active") {
		s.t.Errorf("task %s: leased is %t in state %s", id, leased, state)
	}
}

// gone checks that nothing is left of a task but its events.
func (s *scene) gone(id string) {
	s.t.Helper()
	for key, value := range s.world() {
		if !strings.HasSuffix(key, ":events") && strings.Contains(strings.ReplaceAll(key+value, string(s.q), ""), id) {
			s.t.Errorf("task %s is gone, but %s holds %s", id, key, value)
		}
	}
}

// world returns everything that Redis holds of the queue: key to type, content and whether it has a TTL.
func (s *scene) world() map[string]string {
	s.t.Helper()
	var node redis.Cmdable = s.rdb
	if cluster, ok := s.rdb.(*redis.ClusterClient); ok {
		master, err := cluster.MasterForKey(s.ctx(), s.q.Pending())
		if err != nil {
			s.t.Fatal(err)
		}
		node = master
	}
	world := make(map[string]string)
	names := node.Scan(s.ctx(), 0, "*{"+string(s.q)+"}*", 10_000).Iterator()
	for names.Next(s.ctx()) {
		world[names.Val()] = ""
	}
	if err := names.Err(); err != nil {
		s.t.Fatal(err)
	}
	kinds, ttls, pipe := map[string]*redis.StatusCmd{}, map[string]*redis.DurationCmd{}, node.Pipeline()
	for key := range world {
		kinds[key], ttls[key] = pipe.Type(s.ctx(), key), pipe.TTL(s.ctx(), key)
	}
	s.exec(pipe)
	contents := make(map[string]redis.Cmder)
	for key := range world {
		contents[key] = content(s.ctx(), pipe, kinds[key].Val(), key)
	}
	s.exec(pipe)
	for key := range world {
		ttl := ""
		if ttls[key].Val() > 0 {
			ttl = " with TTL"
		}
		world[key] = kinds[key].Val() + ttl + " " + text(contents[key])
	}
	return world
}

func (s *scene) exec(pipe redis.Pipeliner) {
	s.t.Helper()
	if _, err := pipe.Exec(s.ctx()); err != nil && !errors.Is(err, redis.Nil) {
		s.t.Fatal(err)
	}
}

// content asks for all that a key holds.
func content(ctx context.Context, pipe redis.Pipeliner, kind, key string) redis.Cmder {
	switch kind {
	case "list":
		return pipe.LRange(ctx, key, 0, -1)
	case "set":
		return pipe.SMembers(ctx, key)
	case "zset":
		return pipe.ZRangeWithScores(ctx, key, 0, -1)
	case "hash":
		return pipe.HGetAll(ctx, key)
	case "stream":
		return pipe.XRange(ctx, key, "-", "+")
	default:
		return pipe.Get(ctx, key)
	}
}

// text makes what a key holds comparable.
func text(reply redis.Cmder) string {
	switch reply := reply.(type) {
	case *redis.MapStringStringCmd:
		return fmt.Sprintf("%q", reply.Val()) // sorted by field
	case *redis.StringSliceCmd:
		return fmt.Sprint(reply.Val())
	case *redis.ZSliceCmd:
		return fmt.Sprint(reply.Val())
	case *redis.XMessageSliceCmd:
		return fmt.Sprint(reply.Val())
	case *redis.StringCmd:
		return reply.Val()
	default:
		return "?"
	}
}

// changesNothing checks that Redis is the same, key by key, before and after act.
func (s *scene) changesNothing(what string, act func()) {
	s.t.Helper()
	before := s.world()
	act()
	after := s.world()
	for _, key := range slices.Sorted(maps.Keys(merged(before, after))) {
		if before[key] != after[key] {
			s.t.Errorf("%s changed %s\n  from %s\n  to   %s", what, key, before[key], after[key])
		}
	}
}

func merged(a, b map[string]string) map[string]string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// refused checks that every item of a call was fenced off, and by which token.
func (s *scene) refused(what string, seen uint64, errs []error, err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatalf("%s: %v", what, err)
	}
	for _, err := range errs {
		fenced, ok := errors.AsType[*seri.FencedError](err)
		if !ok {
			s.t.Errorf("%s: answered %v, want it fenced off", what, err)
		} else if fenced.Seen != seen {
			s.t.Errorf("%s: %v; want the token on record to be %d", what, err, seen)
		}
	}
}
