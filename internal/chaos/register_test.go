package chaos_test

import (
	"bufio"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

// register is a resource outside of Redis that does what the documentation asks of one: for each key it refuses a token
// lower than the highest it has seen.
type register struct {
	listener net.Listener
	running  sync.WaitGroup

	mu      sync.Mutex
	highest map[string]uint64
	writes  int
	refused int
	open    map[net.Conn]bool
}

func newRegister() (*register, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &register{listener: listener, highest: make(map[string]uint64), open: make(map[net.Conn]bool)}
	r.running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			r.mu.Lock()
			r.open[conn] = true
			r.mu.Unlock()
			r.running.Go(func() { r.serve(conn) })
		}
	})
	return r, nil
}

func (r *register) addr() string { return r.listener.Addr().String() }

func (r *register) close() {
	r.listener.Close()
	r.mu.Lock()
	for conn := range r.open {
		conn.Close()
	}
	r.mu.Unlock()
	r.running.Wait()
}

func (r *register) serve(conn net.Conn) {
	defer conn.Close()
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		key, text, _ := strings.Cut(lines.Text(), " ")
		token, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return
		}
		answer := "ok\n"
		r.mu.Lock()
		r.writes++
		if token < r.highest[key] {
			r.refused++
			answer = "low\n"
		} else {
			r.highest[key] = token
		}
		r.mu.Unlock()
		if _, err := conn.Write([]byte(answer)); err != nil {
			return
		}
	}
}

// registerClient is a worker's way to the register, which no fault lies upon.
type registerClient struct {
	addr string
	mu   sync.Mutex
	conn net.Conn
	read *bufio.Reader
}

func newRegisterClient(addr string) *registerClient { return &registerClient{addr: addr} }

// write writes under a token, and reports whether the register took it.
func (c *registerClient) write(key string, token uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == nil {
		conn, err := net.DialTimeout("tcp", c.addr, 5*time.Second)
		if err != nil {
			return false
		}
		c.conn, c.read = conn, bufio.NewReader(conn)
	}
	if _, err := fmt.Fprintf(c.conn, "%s %d\n", key, token); err != nil {
		return false
	}
	answer, err := c.read.ReadString('\n')
	return err == nil && answer == "ok\n"
}
