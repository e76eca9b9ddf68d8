package client_test

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/client"
	"github.com/seri-queue/seri/internal/redistest"
)

// A producer that has many tasks hands them over in one call, and looks at the queue.
func ExampleClient_EnqueueBatch() {
	rdb, closeRedis := redistest.ForExample()
	defer closeRedis()
	ctx := context.Background()
	queue := client.New(rdb, client.Config{})

	var tasks []seri.Message
	for page := range 3 {
		m, err := seri.NewMessage("crawl:page", []byte(strconv.Itoa(page)), seri.Queue("crawl"))
		if err != nil {
			panic(err)
		}
		tasks = append(tasks, m)
	}
	for _, err := range queue.EnqueueBatch(ctx, tasks) {
		if err != nil {
			panic(err)
		}
	}

	for info, err := range queue.Tasks(ctx, "crawl", seri.Pending) {
		if err != nil {
			panic(err)
		}
		fmt.Println(info.Type, string(info.Payload))
	}
	// Output:
	// crawl:page 0
	// crawl:page 1
	// crawl:page 2
}

// A task can be withdrawn as long as it has not ended.
func ExampleClient_Revoke() {
	rdb, closeRedis := redistest.ForExample()
	defer closeRedis()
	ctx := context.Background()
	queue := client.New(rdb, client.Config{})
	m, err := seri.NewMessage("report:yearly", nil, seri.Delay(time.Hour))
	if err != nil {
		panic(err)
	}
	if err := queue.Enqueue(ctx, m); err != nil {
		panic(err)
	}

	info, err := queue.Revoke(ctx, m.Queue, m.ID)
	fmt.Println(info.State, err)

	info, err = queue.Find(ctx, m.ID)
	fmt.Println(info.State, info.Reason, err)
	// Output:
	// revoked <nil>
	// revoked revoked <nil>
}

// A queue that is too big for one node of a Redis Cluster is divided; it stays one queue to its users.
func ExampleConfig_partitions() {
	rdb, closeRedis := redistest.ForExample()
	defer closeRedis()
	ctx := context.Background()
	queue := client.New(rdb, client.Config{Partitions: map[string]int{"images": 8}}) // and the same in worker.Config
	if err := queue.Declare(ctx); err != nil {
		panic(err) // another program divides the queue otherwise
	}

	for i := range 3 {
		m, err := seri.NewMessage("image:scale", []byte(strconv.Itoa(i)), seri.Queue("images"), seri.PartitionKey("user:42"))
		if err != nil {
			panic(err)
		}
		if err := queue.Enqueue(ctx, m); err != nil {
			panic(err)
		}
	}

	info, err := queue.Queue(ctx, "images")
	if err != nil {
		panic(err)
	}
	fmt.Println(info.Name, info.Pending, info.Partitions[6].Name, info.Partitions[6].Pending)
	// Output: images 3 images:6 3
}
