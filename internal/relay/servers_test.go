package relay

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seri-queue/seri/internal/devstore/redisproc"
	"github.com/seri-queue/seri/internal/pause"
	"github.com/seri-queue/seri/internal/proxytest"
)

// patience is how long anything may take until a test fails. RabbitMQ takes ten seconds to start, and more on a busy machine.
const patience = 2 * time.Minute

// server is a broker that tests have started.
type server struct {
	addr string
	stop func()
}

// lazily is a server that is started once, for all tests, and ends with the test binary.
type lazily struct {
	once  sync.Once
	start func() (server, error)
	server
	err error
}

func (l *lazily) get(t *testing.T) server {
	t.Helper()
	l.once.Do(func() { l.server, l.err = l.start() })
	if l.err != nil {
		t.Fatal(l.err)
	}
	return l.server
}

var (
	natsServer   = lazily{start: startNATS}
	rabbitServer = lazily{start: startRabbit}
)

func TestMain(m *testing.M) {
	code := m.Run()
	for _, l := range []*lazily{&natsServer, &rabbitServer} {
		if l.stop != nil {
			l.stop()
		}
	}
	os.Exit(code)
}

// missing skips a test for want of a program, or fails it where everything should be there.
func missing(t *testing.T, program string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("there is no %s; scripts/deps.sh installs it", program)
	}
	t.Skipf("there is no %s; scripts/deps.sh installs it", program)
}

func findNATS() string {
	if path, err := exec.LookPath("nats-server"); err == nil {
		return path
	}
	const debian = "/usr/sbin/nats-server" // where only root's PATH leads
	if _, err := os.Stat(debian); err == nil {
		return debian
	}
	return ""
}

func findRabbit() string {
	// The one on the PATH of Debian wants to be root or the user of its service.
	for _, pattern := range []string{"/usr/lib/rabbitmq/bin/rabbitmq-server", "/opt/homebrew/opt/rabbitmq/sbin/rabbitmq-server"} {
		if _, err := os.Stat(pattern); err == nil {
			return pattern
		}
	}
	path, _ := exec.LookPath("rabbitmq-server")
	return path
}

// launch starts a program that ends with the test binary, and waits until it takes connections at addr.
func launch(addr string, env []string, dir, program string, args ...string) (server, error) {
	var output bytes.Buffer
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // RabbitMQ is a shell that starts others
	if err := cmd.Start(); err != nil {
		return server{}, err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
	stop := sync.OnceFunc(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
		}
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-ended
		os.RemoveAll(dir)
	})
	deadline := time.Now().Add(patience)
	for time.Now().Before(deadline) {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
			return server{addr, stop}, nil
		}
		select {
		case <-ended:
			return server{}, fmt.Errorf("%s has ended: %s", program, &output)
		default:
			pause.For(context.Background(), 50*time.Millisecond)
		}
	}
	stop()
	return server{}, fmt.Errorf("%s does not listen: %s", program, &output)
}

func startNATS() (server, error) {
	dir, err := os.MkdirTemp("", "seri-nats-*")
	if err != nil {
		return server{}, err
	}
	port := fmt.Sprint(redisproc.FreePort())
	return launch("127.0.0.1:"+port, nil, dir, findNATS(), "-a", "127.0.0.1", "-p", port, "-js", "-sd", dir)
}

func startRabbit() (server, error) {
	dir, err := os.MkdirTemp("", "seri-rabbit-*")
	if err != nil {
		return server{}, err
	}
	port, epmd, dist := redisproc.FreePort(), redisproc.FreePort(), redisproc.FreePort()
	cookie := filepath.Join(dir, ".erlang.cookie")
	if err := os.WriteFile(cookie, []byte("SERITESTSERITESTSERI"), 0o400); err != nil {
		return server{}, err
	}
	env := []string{
		"HOME=" + dir, fmt.Sprintf("RABBITMQ_NODENAME=seri%d@localhost", port), "RABBITMQ_NODE_IP_ADDRESS=127.0.0.1",
		fmt.Sprintf("RABBITMQ_NODE_PORT=%d", port), fmt.Sprintf("RABBITMQ_DIST_PORT=%d", dist), fmt.Sprintf("ERL_EPMD_PORT=%d", epmd),
		"ERL_EPMD_ADDRESS=127.0.0.1", "RABBITMQ_MNESIA_BASE=" + dir + "/data", "RABBITMQ_LOG_BASE=" + dir + "/log", "RABBITMQ_LOGS=-",
		"RABBITMQ_ENABLED_PLUGINS_FILE=" + dir + "/plugins", "RABBITMQ_PID_FILE=" + dir + "/pid", "RABBITMQ_CONFIG_FILE=" + dir + "/none",
		"RABBITMQ_CONF_ENV_FILE=" + dir + "/none.conf", "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=+S 2:2 +sbwt none",
	}
	started, err := launch(fmt.Sprintf("127.0.0.1:%d", port), env, dir, findRabbit())
	end := started.stop
	started.stop = func() {
		end()
		_ = exec.Command("epmd", "-port", fmt.Sprint(epmd), "-kill").Run() // Erlang's daemon, which would stay
	}
	return started, err
}

// site is a broker as a relay reaches it, and as gateways do through a network that can be cut.
type site struct {
	relay   func(t *testing.T) Broker
	gateway func(t *testing.T) Broker
	cut     func()
	heal    func()
}

var brokers = map[string]func(t *testing.T) site{
	"nats": func(t *testing.T) site {
		if findNATS() == "" {
			missing(t, "nats-server")
		}
		return proxied(t, natsServer.get(t), "nats://%s?stream="+streamOf(t))
	},
	"rabbitmq": func(t *testing.T) site {
		if findRabbit() == "" {
			missing(t, "rabbitmq-server")
		}
		return proxied(t, rabbitServer.get(t), "amqp://guest:guest@%s/?stream="+streamOf(t))
	},
	"kafka": func(t *testing.T) site {
		cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(cluster.Close)
		return dialled(t, "kafka://"+cluster.ListenAddrs()[0]+"?stream="+streamOf(t))
	},
	"a kafka of $TEST_KAFKA": func(t *testing.T) site {
		addr := os.Getenv("TEST_KAFKA")
		if addr == "" {
			t.Skip("TEST_KAFKA names no broker (host:port)")
		}
		return dialled(t, "kafka://"+addr+"?stream="+streamOf(t))
	},
}

// proxied is a broker that one address leads to.
func proxied(t *testing.T, s server, url string) site {
	proxy := proxytest.Run(t, s.addr)
	return site{
		relay:   func(t *testing.T) Broker { return opened(t, fmt.Sprintf(url, s.addr)) },
		gateway: func(t *testing.T) Broker { return opened(t, fmt.Sprintf(url, proxy.Addr())) },
		cut:     proxy.Partition, heal: proxy.Heal,
	}
}

// dialled is a broker that tells its clients where it is: they have to be cut where they dial.
func dialled(t *testing.T, url string) site {
	line := &line{conns: make(map[net.Conn]struct{})}
	return site{
		relay: func(t *testing.T) Broker { return opened(t, url) },
		gateway: func(t *testing.T) Broker {
			target, err := parse(url)
			if err != nil {
				t.Fatal(err)
			}
			b, err := openKafka(t.Context(), target, kgo.Dialer(line.dial))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(b.Close)
			return b
		},
		cut: line.cut, heal: line.heal,
	}
}

func opened(t *testing.T, url string) Broker {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for { // RabbitMQ listens before it is ready
		b, err := Open(ctx, url)
		if err == nil {
			t.Cleanup(b.Close)
			return b
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
		pause.For(ctx, 100*time.Millisecond)
	}
}

// line is a network that can be cut.
type line struct {
	mu    sync.Mutex
	down  bool
	conns map[net.Conn]struct{}
}

func (l *line) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		conn.Close()
		return nil, fmt.Errorf("dial %s: the line is cut", addr)
	}
	l.conns[conn] = struct{}{}
	return conn, nil
}

func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = true
	for conn := range l.conns {
		conn.Close()
	}
	clear(l.conns)
}

func (l *line) heal() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = false
}
