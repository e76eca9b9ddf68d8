package role

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A request that comes in as soon as the port is open, when streams cannot be opened yet.
func TestWhoComesEarlyWaitsAndIsAnswered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		listener, visitor := newPort()
		ready, ended := make(chan struct{}), make(chan error)
		ctx, end := context.WithCancel(t.Context())
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			select {
			case <-ready:
			default:
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		})}
		settings := Serve{HTTPGrace: Duration{Duration: time.Minute}}
		go func() { ended <- settings.serve(ctx, server, listener, ready) }()
		go io.WriteString(visitor, "GET / HTTP/1.0\r\n\r\n")
		synctest.Wait()
		close(ready)

		response, err := http.ReadResponse(bufio.NewReader(visitor), nil)
		if err != nil || response.StatusCode != http.StatusOK {
			t.Errorf("answered with %v, %v", response, err)
		}
		end()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// port is a listener that has one visitor.
type port struct {
	visit  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPort() (*port, net.Conn) {
	here, there := net.Pipe()
	p := &port{visit: make(chan net.Conn, 1), closed: make(chan struct{})}
	p.visit <- here
	return p, there
}

func (p *port) Accept() (net.Conn, error) {
	select {
	case conn := <-p.visit:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *port) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *port) Addr() net.Addr { return new(net.TCPAddr) }

func TestAServerThatIsStoppedBeforeItCouldBeginEnds(t *testing.T) {
	t.Parallel()
	listener, _ := newPort()
	ctx, end := context.WithCancel(t.Context())
	end()

	if err := new(Serve).serve(ctx, new(http.Server), listener, make(chan struct{})); err != nil {
		t.Error(err)
	}
	select {
	case <-listener.closed:
	default:
		t.Error("its port is open still")
	}
}
