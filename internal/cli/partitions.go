package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/cli/term"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/partition"
)

type partitionsCommand struct {
	Change string `arg:"" optional:"" placeholder:"QUEUE=NUMBER" help:"Put this number of partitions on record; 0 takes the queue off. Default: show what is on record."`
	redisConnection
}

// Help implements [kong.HelpProvider].
func (*partitionsCommand) Help() string {
	return `A queue is divided by SERI_PARTITIONS, or the option Partitions in Go; the first program to declare a number puts it on record, and one that declares another does not start, but for a worker that serves more. To change a number without losing a task:

More partitions: 1. restart the workers with the greater number; 2. seri partitions QUEUE=NUMBER; 3. restart apis and other producers.

Fewer: 1. seri partitions QUEUE=NUMBER; 2. restart apis and other producers; 3. when nothing waits or runs in the partitions that are left over, which seri inspect lists as queues of their own, restart the workers.`
}

func (c *partitionsCommand) Run(ctx context.Context, std Streams) error {
	queue, n, err := c.parse()
	if err != nil {
		return err
	}
	rdb, err := c.connect(ctx)
	if err != nil {
		return err
	}
	defer rdb.Close()
	agreement := partition.NewAgreement(rdb)
	if c.Change != "" {
		if err := agreement.Change(ctx, queue, n); err != nil {
			return err
		}
	}
	counts, err := agreement.All(ctx)
	if err != nil {
		return err
	}
	if len(counts) == 0 {
		_, err := fmt.Fprintln(std.Out, "No queue is divided.")
		return err
	}
	table := term.Table{Header: []string{"queue", "partitions", "on each node"}, Right: []bool{false, true, false}}
	for _, queue := range slices.Sorted(maps.Keys(counts)) {
		spread, err := spread(ctx, rdb, queue, counts[queue])
		if err != nil {
			return err
		}
		table.Add(term.Line(queue), strconv.Itoa(counts[queue]), spread)
	}
	return table.Write(std.Out)
}

func (c *partitionsCommand) parse() (queue string, n int, err error) {
	if c.Change == "" {
		return "", 0, nil
	}
	i := strings.LastIndex(c.Change, "=")
	if i >= 0 {
		queue = c.Change[:i]
		n, err = strconv.Atoi(c.Change[i+1:])
	}
	if i < 0 || err != nil {
		return "", 0, fmt.Errorf("%q must be a queue and its number of partitions, such as images=8", c.Change)
	}
	if n != 0 {
		_, err = partition.New(map[string]int{queue: n})
	}
	return queue, n, err
}

// spread tells how many of a queue's partitions each node has, such as "3 + 3 + 2": names decide on the slots, and by bad
// luck on few nodes.
func spread(ctx context.Context, rdb redis.UniversalClient, queue string, n int) (string, error) {
	cluster, ok := rdb.(*redis.ClusterClient)
	if !ok {
		return strconv.Itoa(n), nil
	}
	var mu sync.Mutex
	nodes := make(map[string]int) // one without a partition is in it, too
	if err := cluster.ForEachMaster(ctx, func(_ context.Context, node *redis.Client) error {
		mu.Lock()
		defer mu.Unlock()
		nodes[node.Options().Addr] = 0
		return nil
	}); err != nil {
		return "", fmt.Errorf("read the nodes of the cluster: %w", err)
	}
	for i := range n {
		node, err := cluster.MasterForKey(ctx, keys.Queue(queue).Partition(i).Pending())
		if err != nil {
			return "", fmt.Errorf("read the nodes of the cluster: %w", err)
		}
		nodes[node.Options().Addr]++
	}
	counts := slices.Sorted(maps.Values(nodes))
	slices.Reverse(counts)
	texts := make([]string, len(counts))
	for i, count := range counts {
		texts[i] = strconv.Itoa(count)
	}
	return strings.Join(texts, " + "), nil
}
