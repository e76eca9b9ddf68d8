package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/seri-queue/seri/bench/ground"
)

// reading is what the nodes of a cluster have done since they were started, all together.
type reading struct {
	at         time.Time
	read       float64 // bytes, from sockets and files
	written    float64 // bytes, to sockets and files
	replied    float64 // of them, to clients and replicas
	replicated float64 // of them, to replicas
	messages   float64 // published over the bus
	cpu        float64 // seconds
}

func take(ctx context.Context, c *ground.Cluster) (reading, error) {
	r := reading{at: time.Now()}
	for _, n := range c.Nodes {
		io, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", n.PID))
		if err != nil {
			return r, fmt.Errorf("what node %s has written can be read on Linux only: %w", n.Addr, err)
		}
		info, err := n.Client.Info(ctx).Result()
		if err != nil {
			return r, err
		}
		bus, err := n.Client.ClusterInfo(ctx).Result()
		if err != nil {
			return r, err
		}
		of := fields(string(io) + info + bus)
		r.read += of["rchar"]
		r.written += of["wchar"]
		r.replied += of["total_net_output_bytes"]
		r.replicated += of["total_net_repl_output_bytes"]
		r.cpu += of["used_cpu_user"] + of["used_cpu_sys"]
		r.messages += of["cluster_stats_messages_publish_sent"] + of["cluster_stats_messages_publishshard_sent"]
	}
	return r, nil
}

// fields reads the numbers of lines "name:value"; those that are absent are 0.
func fields(text string) map[string]float64 {
	of := make(map[string]float64)
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(line, ":")
		if n, err := strconv.ParseFloat(strings.TrimSpace(value), 64); err == nil {
			of[name] = n
		}
	}
	return of
}

// since is what was done after an earlier reading.
func (r reading) since(before reading) spent {
	return spent{
		seconds: r.at.Sub(before.at).Seconds(), bus: r.written - r.replied - (before.written - before.replied),
		replication: r.replicated - before.replicated, all: r.read + r.written - before.read - before.written,
		messages: r.messages - before.messages, cpu: r.cpu - before.cpu,
	}
}

// spent is what was done in some time.
type spent struct{ seconds, bus, replication, all, messages, cpu float64 }

// without takes off what would have been done anyway, going by an idle time.
func (s spent) without(idle spent) spent {
	share := s.seconds / idle.seconds
	return spent{
		s.seconds, s.bus - share*idle.bus, s.replication - share*idle.replication, s.all - share*idle.all,
		s.messages - share*idle.messages, s.cpu - share*idle.cpu,
	}
}
