package redistest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/devstore/redisproc"
)

const (
	clusterNodes = 3
	clusterSlots = 16384
	// clusterPatience covers the 2 s that a new node refuses writes for, and a machine that is busy with other tests.
	clusterPatience = 30 * time.Second
)

// Cluster returns a client of its own on a Redis Cluster of three masters, which all tests of the binary share.
// The first call takes about two seconds, because a node of a cluster refuses writes for so long.
func Cluster(t testing.TB) *redis.ClusterClient {
	t.Helper()
	binary := requireBinary(t)
	addrs, err := shared.cluster.do(func() ([]string, error) { return startCluster(binary) })
	if err != nil {
		t.Fatalf("redistest: start a cluster: %v", err)
	}
	return open(t, clusterURL(addrs)).(*redis.ClusterClient)
}

// ExclusiveCluster starts a Redis Cluster of three masters for one test, whose configuration it may change. The servers
// end with the test binary.
func ExclusiveCluster(t testing.TB) *redis.ClusterClient {
	t.Helper()
	addrs, err := startCluster(requireBinary(t))
	if err != nil {
		t.Fatalf("redistest: start a cluster: %v", err)
	}
	return open(t, clusterURL(addrs)).(*redis.ClusterClient)
}

func startCluster(binary string) (addrs []string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), clusterPatience)
	defer cancel()
	type address struct {
		port string
		bus  int
	}
	var nodes []*redis.Client
	var peers []address
	defer func() {
		for _, node := range nodes {
			node.Close()
		}
	}()
	for i := range clusterNodes {
		bus := redisproc.FreePort()
		addr, err := startShared(binary,
			"--cluster-enabled", "yes",
			"--cluster-port", strconv.Itoa(bus),
			"--cluster-announce-ip", "127.0.0.1",
		)
		if err != nil {
			return nil, err
		}
		_, port, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		node := redis.NewClient(&redis.Options{Addr: addr})
		addrs, nodes, peers = append(addrs, addr), append(nodes, node), append(peers, address{port, bus})
		first, last := i*clusterSlots/clusterNodes, (i+1)*clusterSlots/clusterNodes-1
		if err := node.ClusterAddSlotsRange(ctx, first, last).Err(); err != nil {
			return nil, err
		}
		// Nodes that share an epoch settle it by a slow election; epochs of their own spare them that.
		if err := node.Do(ctx, "cluster", "set-config-epoch", i+1).Err(); err != nil {
			return nil, err
		}
		for _, peer := range peers[:i] {
			if err := node.Do(ctx, "cluster", "meet", "127.0.0.1", peer.port, peer.bus).Err(); err != nil {
				return nil, err
			}
		}
	}
	for _, node := range nodes {
		if err := waitForCluster(ctx, node); err != nil {
			return nil, err
		}
	}
	return addrs, nil
}

// waitForCluster returns when the node accepts writes and knows every other one. A node announces neither, so it is asked.
func waitForCluster(ctx context.Context, node *redis.Client) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		info, err := node.ClusterInfo(ctx).Result()
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
		if strings.Contains(info, "cluster_state:ok") &&
			strings.Contains(info, fmt.Sprintf("cluster_known_nodes:%d", clusterNodes)) {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("node %s is not ready after %v: %q", node.Options().Addr, clusterPatience, info)
		}
	}
}
