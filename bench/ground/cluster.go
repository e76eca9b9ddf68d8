package ground

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/devstore/redisproc"
	"github.com/seri-queue/seri/internal/pause"
)

// Slots is how many a Redis Cluster has.
const Slots = 16384

// forming bounds the time in which a cluster of dozens of nodes comes to know itself.
const forming = 3 * time.Minute

// Cluster is a Redis Cluster on this machine, without persistence. The nodes of the masters come first, in the order of their
// slots; then those of their replicas.
type Cluster struct {
	Nodes    []Node
	Masters  int
	Replicas int // of each master
	Version  string

	stop context.CancelFunc
	gone sync.WaitGroup
}

// Node is one server of a cluster.
type Node struct {
	Addr   string
	PID    int
	Client *redis.Client

	id  string
	bus int
}

// StartCluster starts a cluster and waits until all of its nodes know each other. [Cluster.Stop] must be called; should the
// process die before, the servers die with it.
func StartCluster(ctx context.Context, masters, replicas int) (*Cluster, error) {
	binary, err := redisproc.Find()
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	c := &Cluster{Masters: masters, Replicas: replicas, Version: binary.Version, stop: stop}
	err = c.start(ctx, binary.Path)
	if err == nil {
		err = c.form(ctx)
	}
	if err != nil {
		c.Stop()
		return nil, fmt.Errorf("start a Redis Cluster of %d nodes: %w", masters*(1+replicas), err)
	}
	return c, nil
}

// Stop ends the servers.
func (c *Cluster) Stop() {
	for _, n := range c.Nodes {
		_ = n.Client.Close()
	}
	c.stop()
	c.gone.Wait()
}

// Addrs returns the addresses of all nodes.
func (c *Cluster) Addrs() []string {
	addrs := make([]string, len(c.Nodes))
	for i, n := range c.Nodes {
		addrs[i] = n.Addr
	}
	return addrs
}

// Owner returns which master owns a slot.
func (c *Cluster) Owner(slot int) int {
	owner := slot * c.Masters / Slots
	for last := (owner+1)*Slots/c.Masters - 1; slot > last; last = (owner+1)*Slots/c.Masters - 1 {
		owner++
	}
	return owner
}

func (c *Cluster) start(ctx context.Context, binary string) error {
	for range c.Masters * (1 + c.Replicas) {
		dir, err := os.MkdirTemp("", "seri-bench-node-*")
		if err != nil {
			return err
		}
		bus := redisproc.FreePort()
		ready, gone := make(chan redisproc.Server, 1), make(chan error, 1)
		c.gone.Go(func() {
			gone <- redisproc.Run(ctx, redisproc.Config{Binary: binary, Dir: dir, Scratch: true, Args: []string{
				"--appendonly", "no", "--save", "", "--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(bus),
				"--cluster-announce-ip", "127.0.0.1", "--repl-diskless-sync-delay", "0",
			}}, func(s redisproc.Server) { ready <- s })
		})
		select {
		case s := <-ready:
			client := redis.NewClient(&redis.Options{Addr: s.Addr, MaxRetries: -1, ReadTimeout: time.Minute, PoolSize: 2})
			c.Nodes = append(c.Nodes, Node{Addr: s.Addr, PID: s.PID, Client: client, bus: bus})
		case err := <-gone:
			return errors.Join(errors.New("a node has ended"), err)
		}
	}
	return nil
}

// form makes a cluster of the nodes: slots and epochs, acquaintance with the first, and replicas once they know their masters.
func (c *Cluster) form(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, forming)
	defer cancel()
	for i := range c.Nodes {
		n := &c.Nodes[i]
		if i < c.Masters {
			if err := n.Client.ClusterAddSlotsRange(ctx, i*Slots/c.Masters, (i+1)*Slots/c.Masters-1).Err(); err != nil {
				return err
			}
		}
		if err := n.Client.Do(ctx, "cluster", "set-config-epoch", i+1).Err(); err != nil {
			return err
		}
		id, err := n.Client.Do(ctx, "cluster", "myid").Text()
		if err != nil {
			return err
		}
		n.id = id
		if i == 0 {
			continue
		}
		_, port, err := net.SplitHostPort(n.Addr)
		if err != nil {
			return err
		}
		if err := c.Nodes[0].Client.Do(ctx, "cluster", "meet", "127.0.0.1", port, n.bus).Err(); err != nil {
			return err
		}
	}
	known := fmt.Sprintf("cluster_known_nodes:%d\r\n", len(c.Nodes))
	for _, n := range c.Nodes {
		if err := n.await(ctx, known, (*redis.Client).ClusterInfo); err != nil {
			return err
		}
	}
	for i, n := range c.Nodes[c.Masters:] {
		if err := n.Client.ClusterReplicate(ctx, c.Nodes[i%c.Masters].id).Err(); err != nil {
			return err
		}
	}
	replication := func(client *redis.Client, ctx context.Context) *redis.StringCmd {
		return client.Info(ctx, "replication")
	}
	for i, n := range c.Nodes {
		if i >= c.Masters {
			if err := n.await(ctx, "master_link_status:up", replication); err != nil {
				return err
			}
		}
		if err := n.await(ctx, "cluster_state:ok", (*redis.Client).ClusterInfo); err != nil {
			return err
		}
	}
	return nil
}

// await asks a node until its answer contains a text: nodes do not announce what they come to know.
func (n Node) await(ctx context.Context, text string, ask func(*redis.Client, context.Context) *redis.StringCmd) error {
	for {
		answer, err := ask(n.Client, ctx).Result()
		if err != nil {
			return err
		}
		if strings.Contains(answer, text) {
			return nil
		}
		if !pause.For(ctx, 100*time.Millisecond) {
			return fmt.Errorf("node %s has not come to %q: %q", n.Addr, strings.TrimSpace(text), answer)
		}
	}
}
