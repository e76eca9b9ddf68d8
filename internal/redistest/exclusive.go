package redistest

import (
	"syscall"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/devstore/redisproc"
)

// Server is a Redis server that one test has to itself.
type Server struct {
	t    testing.TB
	cfg  redisproc.Config
	addr string
	proc *process // nil: stopped
}

// Exclusive starts a server for one test, which is stopped when the test ends. Settings are given as on the command
// line of redis-server; persistence is off unless asked for:
//
//	server := redistest.Exclusive(t, "--appendonly", "yes", "--appendfsync", "always")
func Exclusive(t testing.TB, settings ...string) *Server {
	t.Helper()
	s := &Server{t: t, cfg: redisproc.Config{Binary: requireBinary(t), Dir: t.TempDir(), Args: settings}}
	s.Start()
	t.Cleanup(s.Stop)
	return s
}

// Addr returns the server's host:port, which stays the same over restarts.
func (s *Server) Addr() string { return s.addr }

// URL returns the server's address as a URL.
func (s *Server) URL() string { return "redis://" + s.addr + "/0" }

// Client returns a new client, which is closed when the test ends.
func (s *Server) Client() *redis.Client {
	s.t.Helper()
	return openSingle(s.t, s.addr, 0)
}

// Stop ends the server in an orderly way (SIGTERM), if it runs, and returns when it is gone.
func (s *Server) Stop() {
	s.t.Helper()
	if s.proc == nil {
		return
	}
	s.Resume() // a paused process does not hear
	s.proc.stop()
	if err := <-s.proc.done; err != nil {
		s.t.Errorf("redistest: %v", err)
	}
	s.proc = nil
}

// Kill ends the server with SIGKILL and returns when it is gone.
func (s *Server) Kill() {
	s.t.Helper()
	s.signal(syscall.SIGKILL)
	<-s.proc.done // it ended by itself, says the error
	s.proc.stop()
	s.proc = nil
}

// Pause freezes the server (SIGSTOP): connections stay open, and nobody answers.
func (s *Server) Pause() {
	s.t.Helper()
	s.signal(syscall.SIGSTOP)
}

// Resume ends a [Server.Pause].
func (s *Server) Resume() {
	s.t.Helper()
	s.signal(syscall.SIGCONT)
}

// Start starts a server that was stopped or killed, on the same port and with what it had persisted, and returns when
// that is loaded.
func (s *Server) Start() {
	s.t.Helper()
	proc, err := launch(s.cfg)
	if err != nil {
		s.t.Fatalf("redistest: %v", err)
	}
	s.proc, s.addr = proc, proc.Addr
	s.cfg.Port = proc.Port // for the next start
}

// Restart is [Server.Stop] and [Server.Start].
func (s *Server) Restart() {
	s.t.Helper()
	s.Stop()
	s.Start()
}

func (s *Server) signal(sig syscall.Signal) {
	s.t.Helper()
	if s.proc == nil {
		s.t.Fatal("redistest: the server does not run")
	}
	if err := syscall.Kill(s.proc.PID, sig); err != nil {
		s.t.Fatalf("redistest: %v to redis-server: %v", sig, err)
	}
}
