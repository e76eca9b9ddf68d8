package gateway_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/client"
	"github.com/seri-queue/seri/internal/api"
	"github.com/seri-queue/seri/internal/events"
	"github.com/seri-queue/seri/internal/gateway"
	"github.com/seri-queue/seri/internal/token"
	"github.com/seri-queue/seri/internal/wire"
)

var update = flag.Bool("update", false, "renew docs/hostile-inputs.md by what is observed")

// attempt is one thing that a client tries which no honest one does. It returns what came of it.
type attempt struct {
	what string
	try  func(t *testing.T, f *fortress) string
}

// TestHostileInputsAreTurnedAway tries them at gateways behind the api's own HTTP server, while an honest client watches.
// What came back is the table in the documentation.
func TestHostileInputsAreTurnedAway(t *testing.T) {
	t.Parallel()
	origins := []string{"https://app.example.com"}
	// The honest client hears nothing for as long as the attempts take, no ping either.
	f := newFortress(t, gateway.Config{Origins: origins, WriteTimeout: time.Minute, Ping: time.Hour}, events.Config{Buffer: 100_000})
	honest := f.talk(f.header())
	honest.say(`{"op":"subscribe","subscriptions":[{"id":"A","task":"a"}]}`)
	honest.hear("subscribed A", "snapshot A")

	observed := make(map[string]string) // the rows of a table, by its heading
	var mu sync.Mutex
	t.Run("attempts", func(t *testing.T) {
		for heading, attempts := range map[string][]attempt{
			"HTTP": requests(), "Frames": frames(), "Messages": messages(), "Too much, too little": burdens(),
		} {
			rows := make([]string, len(attempts))
			t.Cleanup(func() {
				mu.Lock()
				defer mu.Unlock()
				observed[heading] = strings.Join(rows, "")
			})
			for i, a := range attempts {
				t.Run(a.what, func(t *testing.T) {
					t.Parallel()
					rows[i] = fmt.Sprintf("| %s | %s |\n", a.what, whatDiffers.ReplaceAllString(a.try(t, f), "$1=…"))
				})
			}
		}
	})

	f.emit("a", 2)
	honest.hear("task.progress a2")
	if !t.Failed() {
		compareTables(t, observed)
	}
}

// whatDiffers each time: when to come back, and where.
var whatDiffers = regexp.MustCompile(`(reconnect_ms|after)=[^&` + "`" + `]+`)

const hostileFile = "../../docs/hostile-inputs.md"

// compareTables compares the documented tables with what was observed, or renews them.
func compareTables(t *testing.T, observed map[string]string) {
	t.Helper()
	const rule = "|---|---|\n"
	page, err := os.ReadFile(hostileFile)
	if err != nil {
		t.Fatal(err)
	}
	var renewed strings.Builder
	rest := string(page)
	for range len(observed) {
		head, after, _ := strings.Cut(rest, rule)
		_, heading, _ := strings.Cut(head, "## ")
		heading, _, _ = strings.Cut(heading, "\n")
		rows, known := observed[heading]
		if !known {
			t.Fatalf("%s has no table under a heading of %q, but one under %q", hostileFile, slices.Sorted(maps.Keys(observed)), heading)
		}
		for strings.HasPrefix(after, "|") {
			_, after, _ = strings.Cut(after, "\n")
		}
		renewed.WriteString(head + rule + rows)
		rest = after
	}
	renewed.WriteString(rest)
	switch {
	case *update:
		if err := os.WriteFile(hostileFile, []byte(renewed.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	case renewed.String() != string(page):
		t.Errorf("%s is not what was observed, which is\n%s\nrenew it by go test ./internal/gateway -run Hostile -update", hostileFile, renewed.String())
	}
}

// fortress is a site behind the api, which knows one API key, and tokens.
type fortress struct {
	*site
	tokens
	key string
}

func newFortress(t *testing.T, cfg gateway.Config, hubCfg events.Config) *fortress {
	t.Helper()
	made, err := api.NewKey("web")
	if err != nil {
		t.Fatal(err)
	}
	keys, err := api.ParseKeys(made.Entry)
	if err != nil {
		t.Fatal(err)
	}
	ring, err := token.Parse(idleSecret)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Tokens, cfg.Problem = ring, api.LiveProblem
	logger := slog.New(slog.DiscardHandler)
	serve := func(rdb redis.UniversalClient, g *gateway.Gateway) *http.Server {
		handler, err := api.New(api.Config{
			Tasks: client.New(rdb, client.Config{}), Keys: keys, Tokens: ring, Origins: cfg.Origins, LiveOnly: true,
			Events: g.SSE(), WebSocket: g.WebSocket(), Logger: logger,
		})
		if err != nil {
			t.Fatal(err)
		}
		return api.NewServer(handler, logger)
	}
	s, k := newGuardedSiteAs(t, cfg, hubCfg, nature{serve: serve})
	return &fortress{s, k, made.Secret}
}

// header is that of who may watch everything, changed by pairs of name and value.
func (f *fortress) header(changes ...string) http.Header {
	h := http.Header{"Authorization": {"Bearer " + f.key}}
	for pair := range slices.Chunk(changes, 2) {
		h.Set(pair[0], pair[1])
	}
	return h
}

// dial opens a connection to the server, on which everything has to happen in time.
func (s *site) dial(t *testing.T) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	return conn
}

// answerTo returns what a server answers to bytes, in short.
func (s *site) answerTo(t *testing.T, sent string) string {
	t.Helper()
	conn := s.dial(t)
	if _, err := io.WriteString(conn, sent); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return ended(t, err)
	}
	defer resp.Body.Close()
	return inShort(resp)
}

// ended says that the server has ended a connection without a word; unless it has not.
func ended(t *testing.T, err error) string {
	t.Helper()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal("the server does nothing")
	}
	return "the connection is closed"
}

// inShort is an answer's status, and what it says.
func inShort(resp *http.Response) string {
	short := fmt.Sprint(resp.StatusCode)
	if resp.StatusCode < 300 {
		return short
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 16<<10))
	var problem struct{ Detail string }
	if json.Unmarshal(body, &problem) == nil && resp.Header.Get("Content-Type") == "application/problem+json" {
		short += ": " + problem.Detail
	} else if text := string(bytes.TrimSpace(body)); text != "" {
		short = text // net/http's own
	}
	for _, name := range []string{"Allow", "Upgrade", "Sec-Websocket-Version"} {
		if value := resp.Header.Get(name); value != "" {
			short += fmt.Sprintf(" (`%s: %s`)", name, value)
		}
	}
	if resp.Header.Get("Retry-After") != "" {
		short += " (`Retry-After`)"
	}
	return short
}

// commands opens a WebSocket of commands, and returns the connection below, too.
func (f *fortress) commands(t *testing.T, header http.Header, protocols ...string) (*talker, net.Conn) {
	t.Helper()
	dialer := narrow(protocols...)
	conn, _, err := dialer.DialContext(t.Context(), "ws"+strings.TrimPrefix(f.url, "http")+"/v1/ws", header)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetReadDeadline(time.Now().Add(patience))
	return &talker{t, conn}, conn.NetConn()
}

// untilTheEnd reads a WebSocket until it is closed, and says how.
func untilTheEnd(t *testing.T, k *talker) string {
	t.Helper()
	for {
		_, err := k.next()
		if closed, ok := errors.AsType[*websocket.CloseError](err); ok && closed.Code != websocket.CloseAbnormalClosure {
			return fmt.Sprintf("close %d, `%s`", closed.Code, closed.Text)
		}
		if err != nil {
			return ended(t, err)
		}
	}
}

// refusals reads a WebSocket until a ping is answered, and returns what was refused meanwhile.
func refusals(t *testing.T, k *talker) string {
	t.Helper()
	k.say(`{"op":"ping"}`)
	var all []string
	for {
		ce, err := k.next()
		switch {
		case err != nil:
			t.Fatalf("after %q: %v", all, err)
		case ce.Type == wire.TypeAlive && len(all) == 0:
			return "nothing"
		case ce.Type == wire.TypeAlive:
			return strings.Join(all, "; ")
		case ce.Type == wire.TypeError:
			var e wire.Refused
			if err := json.Unmarshal(ce.Data, &e); err != nil {
				t.Fatal(err)
			}
			all = append(all, fmt.Sprintf("%d: %s", e.Status, e.Detail))
		}
	}
}
