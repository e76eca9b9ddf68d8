// Peers are plain WebSocket servers, of the usual libraries and of none, for the benchmark beside them: they let everybody in,
// and send each line of the standard input to all. They are a module of their own so that the libraries are not in the module
// graph of Seri's users.
package main

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"syscall"
)

// server is one of them.
type server interface {
	// serve serves those who come to listener; it does not return.
	serve(listener *net.TCPListener) error
	// broadcast sends a message to all who are there.
	broadcast(message []byte)
}

// servers are as their documentation shows them and, "tuned", as they take the least memory.
var servers = map[string]func() server{
	"write":         func() server { return &raw{send: syscall.Write} },
	"sendto":        func() server { return &raw{send: sendTo} },
	"gorilla":       func() server { return overHTTP{new(gorillaUsual)} },
	"gorilla-tuned": func() server { return overHTTP{newGorillaTuned()} },
	"gws":           func() server { return overHTTP{newGWS(0)} },
	"gws-tuned":     func() server { return overHTTP{newGWS(512)} },
	"coder":         func() server { return overHTTP{new(coder)} },
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 || servers[args[0]] == nil {
		return fmt.Errorf("give one of write, sendto, gorilla, gorilla-tuned, gws, gws-tuned, coder; got %q", args)
	}
	s := servers[args[0]]()
	listener, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return err
	}
	failed := make(chan error, 1)
	go func() { failed <- s.serve(listener) }()
	fmt.Println(listener.Addr())
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		s.broadcast(append([]byte(nil), lines.Bytes()...))
	}
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

// guest is a library's part.
type guest interface {
	http.Handler
	broadcast(message []byte)
}

// overHTTP is a server on net/http.
type overHTTP struct{ guest }

func (s overHTTP) serve(listener *net.TCPListener) error { return http.Serve(listener, s.guest) }
