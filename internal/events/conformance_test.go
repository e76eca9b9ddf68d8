package events_test

import (
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/events"
	"github.com/seri-queue/seri/internal/events/eventstest"
	"github.com/seri-queue/seri/internal/proxytest"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/internal/redisurl"
	"github.com/seri-queue/seri/internal/store"
)

var carriers = []store.Carrier{store.Streams, store.Memory, store.PubSub, store.ShardedPubSub}

func TestTransportsKeepTheirPromises(t *testing.T) {
	t.Parallel()
	for _, c := range carriers {
		t.Run(string(c), func(t *testing.T) {
			t.Parallel()
			t.Run("one server", func(t *testing.T) {
				t.Parallel()
				eventstest.Conform(t, func(t *testing.T) *eventstest.Site {
					server := redistest.Exclusive(t)
					rdb := server.Client()
					proxy := proxytest.Run(t, rdb.Options().Addr)
					return &eventstest.Site{
						Store: store.New(rdb, store.Config{Events: c}),
						Open:  func(t *testing.T) events.Transport { return transport(t, connect(t, "redis://"+proxy.Addr()), c) },
						Cut:   proxy.Partition, Heal: proxy.Heal,
						Flush: func() {
							if err := rdb.FlushAll(t.Context()).Err(); err != nil {
								t.Error(err)
							}
						},
					}
				})
			})
			t.Run("cluster", func(t *testing.T) {
				t.Parallel()
				eventstest.Conform(t, func(t *testing.T) *eventstest.Site {
					return &eventstest.Site{
						Store: store.New(redistest.Cluster(t), store.Config{Events: c}),
						Open:  func(t *testing.T) events.Transport { return transport(t, redistest.Cluster(t), c) },
					}
				})
			})
		})
	}
}

// connect opens a client with the settings that gateways have.
func connect(t *testing.T, url string) redis.UniversalClient {
	t.Helper()
	rdb, err := redisurl.Open(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rdb.Close() })
	return rdb
}

func transport(t *testing.T, rdb redis.UniversalClient, c store.Carrier) events.Transport {
	t.Helper()
	opened, err := events.Open(rdb, c)
	if err != nil {
		t.Fatal(err)
	}
	return opened
}

func TestEmbeddedStoreCarriesEventsByAllButShardedPubSub(t *testing.T) {
	t.Parallel()
	for _, c := range carriers {
		t.Run(string(c), func(t *testing.T) {
			t.Parallel()
			s := store.New(redistest.Embedded(t), store.Config{Events: c})

			err := s.Permit(t.Context(), "mail", store.Working)

			if refused := err != nil; refused != (c == store.ShardedPubSub) {
				t.Errorf("got %v", err)
			}
		})
	}
}
