package e2e_test

import (
	"context"
	"errors"
	"flag"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/seri-queue/seri/internal/api"
	"github.com/seri-queue/seri/internal/redistest"
)

var comers = flag.Int("comers", 200, "how many clients a stopping gateway has")

// TestClientsOfAStoppedGatewayComeBackWithoutAStampede stops one of two gateways, to which all clients are connected. They do
// as they are told, and come to the other: in no tenth of a second more than a fifth of them.
//
// The full run: go test ./internal/e2e -run Stampede -v -comers 10000
func TestClientsOfAStoppedGatewayComeBackWithoutAStampede(t *testing.T) {
	t.Parallel()
	const bucket = 100 * time.Millisecond
	key, err := api.NewKey("e2e")
	if err != nil {
		t.Fatal(err)
	}
	server := redistest.Exclusive(t)
	gateways := make([]*gatewayProcess, 2)
	for i := range gateways {
		_, port, _ := strings.Cut(closedPort(t), ":")
		gateways[i] = &gatewayProcess{url: "127.0.0.1:" + port, c: command{
			role: "api",
			args: []string{"--redis-url", server.URL(), "--http-addr", "127.0.0.1:" + port, "--http-drain", "0s", "--max-per-key", "20000", "--log-level", "error"},
			env:  []string{"SERI_API_KEYS=" + key.Entry, "SERI_TOKEN_SECRETS=t:" + strings.Repeat("Zm9yIHRl", 8)},
		}}
		gateways[i].start(t)
	}
	site := &site{endpoint: endpoint{t, "http://" + gateways[0].url, key.Secret}, redis: server}
	status, answer := site.call(http.MethodPost, "/v1/tasks?token_ttl=3600", map[string]any{
		"type": "http.request", "payload": map[string]any{"url": "http://127.0.0.1:1"}, "id": "watched", "countdown": 3600,
	})
	if status != http.StatusCreated && status != http.StatusAccepted && status != http.StatusOK {
		t.Fatalf("the task was answered %d: %s", status, answer)
	}
	token := decode[struct{ Token string }](t, answer).Token

	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var mu sync.Mutex
	var back []time.Time
	var here, all sync.WaitGroup
	line := make(chan struct{}, 64) // connecting at first is not what is measured
	for range *comers {
		here.Add(1)
		all.Go(func() {
			line <- struct{}{}
			conn, err := comeTo(ctx, gateways[0].url, token)
			<-line
			here.Done()
			if err != nil {
				t.Error(err)
				return
			}
			wait, err := untilSentAway(conn)
			if err != nil {
				t.Error(err)
				return
			}
			<-time.After(wait)
			if conn, err = comeTo(ctx, gateways[1].url, token); err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			mu.Lock()
			defer mu.Unlock()
			back = append(back, time.Now())
		})
	}
	here.Wait()
	stopped := time.Now()
	gateways[0].p.signal(syscall.SIGTERM)
	gateways[0].p.wait()
	gone := time.Since(stopped)
	all.Wait()

	slices.SortFunc(back, time.Time.Compare)
	buckets := make(map[time.Duration]int)
	most := 0
	for _, at := range back {
		n := buckets[at.Sub(stopped).Truncate(bucket)] + 1
		buckets[at.Sub(stopped).Truncate(bucket)] = n
		most = max(most, n)
	}
	if len(back) != *comers {
		t.Fatalf("%d of %d clients came back", len(back), *comers)
	}
	t.Logf("%d clients: the gateway had ended %v after SIGTERM; the first was back after %v, half after %v, the last after %v; at most %d (%.1f %%) in %v",
		*comers, gone.Round(time.Millisecond), back[0].Sub(stopped).Round(time.Millisecond), back[len(back)/2].Sub(stopped).Round(time.Millisecond),
		back[len(back)-1].Sub(stopped).Round(time.Millisecond), most, 100*float64(most)/float64(*comers), bucket)
	if most*5 > *comers {
		t.Errorf("%d of %d came back within %v", most, *comers, bucket)
	}
}

// comeTo connects to a gateway and waits until it watches.
func comeTo(ctx context.Context, addr, token string) (*websocket.Conn, error) {
	dialer := websocket.Dialer{Subprotocols: []string{"seri.v1", "seri.token." + token}, ReadBufferSize: 512, WriteBufferSize: 512, HandshakeTimeout: patience}
	conn, _, err := dialer.DialContext(ctx, "ws://"+addr+"/v1/ws", nil)
	if err != nil {
		return nil, err
	}
	err = conn.WriteMessage(websocket.TextMessage, []byte(`{"op":"subscribe","subscriptions":[{"id":"1","task":"watched","queue":"default"}]}`))
	for range 2 { // what was subscribed, and the snapshot
		if err == nil {
			_, _, err = conn.ReadMessage()
		}
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// untilSentAway reads until the server closes the connection, and returns how long it asks to wait.
func untilSentAway(conn *websocket.Conn) (time.Duration, error) {
	defer conn.Close()
	for {
		_, _, err := conn.ReadMessage()
		if closed, ok := errors.AsType[*websocket.CloseError](err); ok && closed.Code == websocket.CloseGoingAway {
			reason, _ := url.ParseQuery(closed.Text)
			return time.ParseDuration(reason.Get("reconnect_ms") + "ms")
		}
		if err != nil {
			return 0, err
		}
	}
}
