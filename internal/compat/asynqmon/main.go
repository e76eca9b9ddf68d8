// Asynqmon serves asynq's dashboard, with the Inspector of asynq v0.24.1, for the compatibility suite. It is a module of
// its own because no module can have asynq in two versions.
//
//	asynqmon 127.0.0.1:6379 3                  # one Redis, and the database
//	asynqmon 127.0.0.1:7000,127.0.0.1:7001     # a Redis Cluster
//
// It prints the URL at which it listens, and ends with its standard input.
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"

	"github.com/hibiken/asynq"
	"github.com/hibiken/asynqmon"
)

func main() {
	if err := serve(os.Args[1:]); err != nil {
		log.Fatal(err)
	}
}

func serve(args []string) error {
	var redis asynq.RedisConnOpt
	switch len(args) {
	case 1:
		redis = asynq.RedisClusterClientOpt{Addrs: strings.Split(args[0], ",")}
	case 2:
		db, err := strconv.Atoi(args[1])
		if err != nil {
			return fmt.Errorf("database %q: must be a number", args[1])
		}
		redis = asynq.RedisClientOpt{Addr: args[0], DB: db}
	default:
		return fmt.Errorf("got %d arguments, want the address of a Redis and a database, or the addresses of a cluster", len(args))
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go func() { // the other end is the test's: whatever ends the test ends us
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	fmt.Printf("http://%s\n", listener.Addr())
	return http.Serve(listener, asynqmon.New(asynqmon.Options{RedisConnOpt: redis}))
}
