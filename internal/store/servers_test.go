package store_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/redistest"
	"github.com/seri-queue/seri/internal/store"
	"github.com/seri-queue/seri/internal/wire"
)

func TestServersAreThoseThatLive(t *testing.T) {
	t.Parallel()
	// The cluster has one set of servers for all its tests; see package compat for a real server of asynq's on it.
	for name, open := range map[string]func(*testing.T) redis.UniversalClient{
		"single":   func(t *testing.T) redis.UniversalClient { return redistest.New(t) },
		"embedded": func(t *testing.T) redis.UniversalClient { return redistest.Embedded(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			findsServers(t, open(t))
		})
	}
}

func findsServers(t *testing.T, rdb redis.UniversalClient) {
	s := store.New(rdb, store.Config{})
	publish := func(id string, value []byte, expiry time.Time) {
		t.Helper()
		key := keys.Server("host:1:" + id)
		if err := rdb.ZAdd(t.Context(), keys.Servers, redis.Z{Score: float64(expiry.Unix()), Member: key}).Err(); err != nil {
			t.Fatal(err)
		}
		if value == nil {
			return
		}
		if err := rdb.Set(t.Context(), key, value, time.Minute).Err(); err != nil {
			t.Fatal(err)
		}
	}
	info := func(id string, fenced bool, queues ...string) []byte {
		s := wire.ServerInfo{Host: "host", PID: 1, ID: id, Queues: map[string]int{}, Fenced: fenced}
		for _, q := range queues {
			s.Queues[q] = 1
		}
		return s.Encode()
	}
	if got, err := s.Servers(t.Context()); err != nil || got != nil {
		t.Errorf("with no server at all: %+v, %v", got, err)
	}
	soon := time.Now().Add(10 * time.Second)
	publish("theirs", info("theirs", false, "mail", "default"), soon)
	publish("behind", info("behind", false, "mail"), time.Now().Add(-30*time.Second)) // its clock is
	publish("ours", info("ours", true, "mail"), soon)
	publish("gone", nil, soon)
	publish("long gone", info("long gone", false, "mail"), time.Now().Add(-time.Hour))
	publish("damaged", []byte("\x0a\x05"), soon)

	got, err := s.Servers(t.Context())

	want := []store.Server{
		{Name: "host:1:behind", Queues: []keys.Queue{"mail"}},
		{Name: "host:1:ours", Queues: []keys.Queue{"mail"}, Fenced: true},
		{Name: "host:1:theirs", Queues: []keys.Queue{"default", "mail"}},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
}
