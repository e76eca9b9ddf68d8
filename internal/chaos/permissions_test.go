package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/client"
	"github.com/seri-queue/seri/internal/devstore/redisproc"
)

// permission is one that is missing in the rules of one role's user.
type permission struct {
	role, lacks, named string // named: how the role's last words name it
	flags              []string
}

// lacking are the cases of F17: commands of every kind of script, a key, the channel, scripts as such.
func lacking() []permission {
	beat := []string{"--schedules-text", "schedules: [{id: often, every: 1s, task: http.request, payload: {url: 'http://127.0.0.1:1/'}}]", "--beat-lease", "1s"}
	api := append(apiArgs(fmt.Sprintf("127.0.0.1:%d", redisproc.FreePort())), "--http-grace", "1s")
	return []permission{
		{"worker", "-zrem", "ZREM", nil},
		{"worker", "-xadd", "XADD", nil},
		{"worker", "-lrem", "LREM", nil},
		{"worker", "-evalsha", "EVAL", nil},
		{"beat", "-hset", "HSET", beat},
		{"beat", "-pexpire", "PEXPIRE", beat},
		{"beat", "resetchannels", "PUBLISH asynq:cancel", beat},
		{"api", "-zadd", "ZADD", api},
		{"api", "-setnx", "SETNX", api},
	}
}

// waiting is how many tasks the roles find that lack a permission.
const waiting = 5

// lackPermissions is F17: each role is started as the user that the Terraform module makes for it, less one permission. It
// must end by itself and name what is missing, and not a byte may have changed. With the permission it must do its work.
func lackPermissions(ctx context.Context, r *rig) error {
	n, err := startNode(r.dir, persistent...)
	if err != nil {
		return err
	}
	defer n.kill()
	rdb := n.client()
	defer rdb.Close()
	queue := client.New(rdb, client.Config{})
	for i := range waiting {
		m, err := seri.NewMessage("http.request", []byte(`{"url":"http://127.0.0.1:1/"}`), seri.ID(fmt.Sprint("t", i)), seri.MaxRetries(0))
		if err == nil {
			err = queue.Enqueue(ctx, m)
		}
		if err != nil {
			return err
		}
	}
	before, err := rdb.Do(ctx, "DEBUG", "DIGEST").Text()
	if err != nil {
		return err
	}
	for _, p := range lacking() {
		if err := p.strike(ctx, r, n, rdb); err != nil {
			return err
		}
		if after, err := rdb.Do(ctx, "DEBUG", "DIGEST").Text(); err != nil || after != before {
			return fmt.Errorf("a %s without %s has changed what is in Redis (%w)", p.role, p.named, err)
		}
		r.nemesis.mu.Lock()
		r.nemesis.counts["permission-missing"]++
		r.nemesis.mu.Unlock()
	}
	return r.workWithAll(ctx, n, rdb)
}

// strike starts the role without the permission, and returns what is wrong with how it takes that.
func (p permission) strike(ctx context.Context, r *rig, n *node, rdb *redis.Client) error {
	m, err := r.command(ctx, n, rdb, p.role, p.flags, p.lacks)
	if err != nil {
		return err
	}
	defer m.end(false)
	process := m.current()
	select {
	case <-process.Exited:
	case <-time.After(20 * time.Second):
		return fmt.Errorf("a %s has started although it lacks %s: %s", p.role, p.named, process.Output())
	}
	if said := process.Output(); !strings.Contains(said, "denies this user "+p.named) {
		return fmt.Errorf("a %s without %s does not say so: %s", p.role, p.named, said)
	}
	return nil
}

// workWithAll is the other side: with all permissions the worker ends the tasks.
func (r *rig) workWithAll(ctx context.Context, n *node, rdb *redis.Client) error {
	m, err := r.command(ctx, n, rdb, "worker", nil, "")
	if err != nil {
		return err
	}
	defer m.end(true)
	queue := client.New(rdb, client.Config{})
	return within(20*time.Second, func(ctx context.Context) error {
		info, err := queue.Queue(ctx, seri.DefaultQueue)
		if err == nil && info.Failed < waiting { // nobody listens at port 1
			err = fmt.Errorf("a worker with all permissions has ended %d tasks of %d: %s", info.Failed, waiting, m.current().Output())
		}
		return err
	})
}

// command starts one of the three commands as its user of Redis, with the rules of deploy/ecs and one more.
func (r *rig) command(ctx context.Context, n *node, rdb *redis.Client, role string, flags []string, rule string) (*member, error) {
	args := []any{"ACL", "SETUSER", role, "reset", "on", ">secret"}
	for _, name := range []string{role, "commands"} {
		content, err := os.ReadFile("../../deploy/ecs/acl/" + name + ".acl")
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(content)) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				args = append(args, strings.ReplaceAll(line, "{q}", "{"+seri.DefaultQueue+"}"))
			}
		}
	}
	if rule != "" {
		args = append(args, rule)
	}
	if err := rdb.Do(ctx, args...).Err(); err != nil {
		return nil, errors.Join(fmt.Errorf("make the user %s", role), err)
	}
	p := part{Role: role, Dir: r.dir, Redis: r.url(), Args: append(flags, "--redis-url", "redis://"+role+":secret@"+n.addr+"/0")}
	if role != "api" {
		p.Role += " command"
	}
	m := &member{part: p, dir: r.dir}
	return m, m.startOnce()
}
