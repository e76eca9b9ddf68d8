//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// server is a process that WebSockets are connected to.
type server struct {
	name  string
	addr  string
	admin string // where its figures are; empty: it has none
	cmd   *exec.Cmd
	stdin io.WriteCloser // of a plain server
}

// startGateway starts an api as a gateway on a Redis.
func (r *rig) startGateway(ctx context.Context, redisURL string) (*server, error) {
	addr, err1 := freeAddress()
	admin, err2 := freeAddress()
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	s := &server{name: "gateway", addr: addr, admin: admin, cmd: exec.CommandContext(ctx, r.api, "--role=gateway")}
	s.cmd.Env = append(os.Environ(),
		"SERI_REDIS_URL="+redisURL, "SERI_HTTP_ADDR="+addr, "SERI_ADMIN_ADDR="+admin, "SERI_API_KEYS="+r.key.Entry,
		"SERI_TOKEN_SECRETS="+r.secret, "SERI_LOG_LEVEL=error", "SERI_HTTP_DRAIN=0s", "SERI_HTTP_GRACE=1s",
	)
	s.cmd.Stderr = os.Stderr
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a gateway: %w", err)
	}
	for until := time.Now().Add(20 * time.Second); ; <-time.After(20 * time.Millisecond) {
		answer, err := http.Get("http://" + addr + "/readyz")
		if err == nil {
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return s, nil
			}
			err = errors.New(answer.Status)
		}
		if time.Now().After(until) || ctx.Err() != nil {
			s.end()
			return nil, fmt.Errorf("a gateway does not become ready: %w", err)
		}
	}
}

// freeAddress is one that nobody listens on at the moment.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return listener.Addr().String(), listener.Close()
}

// startPeer starts a plain server of a library.
func (r *rig) startPeer(ctx context.Context, library string) (*server, error) {
	if err := r.withPeers(ctx); err != nil {
		return nil, err
	}
	s := &server{name: library, cmd: exec.CommandContext(ctx, r.peers, library)}
	s.cmd.Stderr = os.Stderr
	stdin, err1 := s.cmd.StdinPipe()
	stdout, err2 := s.cmd.StdoutPipe()
	if err := errors.Join(err1, err2, s.cmd.Start()); err != nil {
		return nil, fmt.Errorf("start a server of %s: %w", library, err)
	}
	s.stdin = stdin
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		s.end()
		return nil, fmt.Errorf("a server of %s does not say where it listens: %w", library, err)
	}
	s.addr = strings.TrimSpace(line)
	return s, nil
}

// broadcast has a plain server send a message to all who are connected to it.
func (s *server) broadcast(message []byte) error {
	if _, err := s.stdin.Write(append(message, '\n')); err != nil {
		return fmt.Errorf("a server of %s has gone: %w", s.name, err)
	}
	return nil
}

// end ends the server at once: how it winds down is not measured.
func (s *server) end() {
	_ = s.cmd.Process.Kill() // an error means that it has gone
	_ = s.cmd.Wait()         // which says that it was killed
}

// resident is what the process has in memory, in bytes.
func (s *server) resident() (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		var kB int64
		if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &kB); err == nil {
			return kB << 10, nil
		}
	}
	return 0, errors.New("/proc does not say what is resident")
}

// cpu is the processor time that the process has used.
func (s *server) cpu() (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, errors.New("/proc does not say what was used")
	}
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	const tick = 10 * time.Millisecond // the unit of /proc on every Linux that Go runs on
	return time.Duration(user+system) * tick, errors.Join(err1, err2)
}

// goroutines is how many a gateway says that it has.
func (s *server) goroutines() (int, error) {
	answer, err := http.Get("http://" + s.admin + "/metrics")
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		if text, found := strings.CutPrefix(lines.Text(), "go_goroutines "); found {
			return strconv.Atoi(text)
		}
	}
	return 0, errors.New("the gateway does not say how many goroutines it has")
}
