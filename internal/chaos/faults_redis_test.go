package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

// Faults of Redis: F5 (it dies), F10 (its memory is full), F11 (it is busy, forgets scripts, cuts its clients), F12 (too
// many clients). faults_loss_test.go has those that lose writes.

// killRedis is F5. What Redis has answered is in the operating system's hands, so nothing is lost.
func killRedis(ctx context.Context, r *rig, random *rand.Rand, _ *window) (int, error) {
	n := r.primary()
	n.kill()
	rest(ctx, between(random, 0, time.Second))
	return 1, n.start()
}

// freezeRedis stops it: connections stay open and nobody answers, while leases run out.
func freezeRedis(ctx context.Context, r *rig, random *rand.Rand, _ *window) (int, error) {
	n := r.primary()
	if err := n.signal(syscall.SIGSTOP); err != nil {
		return 0, err
	}
	rest(ctx, between(random, r.lease/4, 3*r.lease))
	return 1, n.signal(syscall.SIGCONT)
}

// fillMemory is F10: there is room for next to nothing more. What frees memory must go on.
func fillMemory(ctx context.Context, r *rig, random *rand.Rand, _ *window) (int, error) {
	rdb := r.primary().client()
	defer rdb.Close()
	used, err := usedMemory(ctx, rdb)
	if err != nil {
		return 0, err
	}
	if err := rdb.ConfigSet(ctx, "maxmemory", fmt.Sprint(used+256<<10)).Err(); err != nil {
		return 0, err
	}
	rest(ctx, between(random, 2*time.Second, 4*time.Second))
	return 1, within(5*time.Second, func(ctx context.Context) error { return rdb.ConfigSet(ctx, "maxmemory", "0").Err() })
}

func usedMemory(ctx context.Context, rdb *redis.Client) (int64, error) {
	info, err := rdb.Info(ctx, "memory").Result()
	if err != nil {
		return 0, err
	}
	var used int64
	_, rest, _ := strings.Cut(info, "used_memory:")
	_, err = fmt.Sscan(rest, &used)
	return used, err
}

// simple are the faults of F11 that are one command.
func simple(command ...any) func(context.Context, *rig, *rand.Rand, *window) (int, error) {
	return func(ctx context.Context, r *rig, _ *rand.Rand, _ *window) (int, error) {
		rdb := r.primary().client()
		defer rdb.Close()
		return 1, rdb.Do(ctx, command...).Err()
	}
}

// pauseClients is F11: Redis takes no command of anybody for up to two leases and more.
func pauseClients(ctx context.Context, r *rig, random *rand.Rand, _ *window) (int, error) {
	rdb := r.primary().client()
	defer rdb.Close()
	length := between(random, 200*time.Millisecond, 1500*time.Millisecond)
	if err := rdb.Do(ctx, "client", "pause", length.Milliseconds(), "all").Err(); err != nil {
		return 0, err
	}
	rest(ctx, length)
	return 1, nil
}

func sleepRedis(ctx context.Context, r *rig, random *rand.Rand, _ *window) (int, error) {
	rdb := r.primary().client()
	defer rdb.Close()
	length := between(random, 200*time.Millisecond, 1500*time.Millisecond)
	return 1, rdb.Do(ctx, "debug", "sleep", length.Seconds()).Err()
}

// busyScript is F11: a script of somebody else's that does not end, until an operator kills it.
func busyScript(ctx context.Context, r *rig, random *rand.Rand, _ *window) (int, error) {
	rdb := r.primary().client()
	defer rdb.Close()
	var running sync.WaitGroup
	running.Go(func() { _ = rdb.Eval(ctx, "while true do end", nil).Err() }) // it is killed
	rest(ctx, between(random, 300*time.Millisecond, 1200*time.Millisecond))
	killer := r.primary().client()
	defer killer.Close()
	err := within(5*time.Second, func(ctx context.Context) error { return killer.ScriptKill(ctx).Err() })
	running.Wait()
	return 1, err
}

// storm is F12: a thousand clients where three hundred are allowed.
func storm(ctx context.Context, r *rig, _ *rand.Rand, _ *window) (int, error) {
	n := r.primary()
	rdb := n.client()
	defer rdb.Close()
	if err := rdb.ConfigSet(ctx, "maxclients", "300").Err(); err != nil {
		return 0, err
	}
	var open []net.Conn
	for range 1000 {
		c, err := net.DialTimeout("tcp", n.addr, time.Second)
		if err != nil {
			break
		}
		open = append(open, c)
	}
	rest(ctx, time.Second)
	for _, c := range open {
		c.Close()
	}
	return 1, within(5*time.Second, func(ctx context.Context) error {
		return errors.Join(rdb.ConfigSet(ctx, "maxclients", "10000").Err())
	})
}
