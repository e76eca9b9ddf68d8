package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

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
	slots, err := cluster.ClusterSlots(ctx).Result()
	if err != nil {
		return "", fmt.Errorf("read the slots of the cluster: %w", err)
	}
	nodes := make(map[string]int)
	for _, s := range slots {
		if len(s.Nodes) > 0 {
			nodes[s.Nodes[0].ID] += 0 // one without a partition counts, too
		}
	}
	for i := range n {
		slot, err := rdb.ClusterKeySlot(ctx, keys.Queue(queue).Partition(i).Pending()).Result()
		if err != nil {
			return "", fmt.Errorf("read the slot of a key: %w", err)
		}
		at := slices.IndexFunc(slots, func(s redis.ClusterSlot) bool { return int64(s.Start) <= slot && slot <= int64(s.End) })
		if at < 0 || len(slots[at].Nodes) == 0 {
			return "", errors.New("the cluster has slots without a node")
		}
		nodes[slots[at].Nodes[0].ID]++
	}
	counts := slices.Sorted(maps.Values(nodes))
	slices.Reverse(counts)
	texts := make([]string, len(counts))
	for i, count := range counts {
		texts[i] = strconv.Itoa(count)
	}
	return strings.Join(texts, " + "), nil
}
