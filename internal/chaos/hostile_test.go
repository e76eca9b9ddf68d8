package chaos_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// F15: clients that are broken, or mean harm. The api must refuse them, not fall over, and forget them.

// How many hostile inputs there are of each kind, and how many connections bring them at once.
const (
	hostileRequests = 10_000
	hostileSockets  = 10_000
	hostileAtOnce   = 16
)

// attackAPI is F15. It returns an error if the api answers with a fault of its own, writes of a panic, dies, or does not
// answer an honest request afterwards; what it holds on to is seen by I12.
func attackAPI(ctx context.Context, r *rig) error {
	api := r.fleet.role("api")[0]
	addr := r.watchers[0].addr
	if err := healthy(ctx, addr); err != nil {
		return err
	}
	process := api.current()
	var mu sync.Mutex
	var wrong []error
	note := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		if len(wrong) < 5 {
			wrong = append(wrong, err)
		}
	}
	slow := slowClients(addr)
	var done atomic.Int64
	var attackers sync.WaitGroup
	for n := range hostileAtOnce {
		attackers.Go(func() {
			random := rand.New(rand.NewPCG(r.figures.Seed, uint64(n)))
			for i := n; i < hostileRequests+hostileSockets && ctx.Err() == nil; i += hostileAtOnce {
				input := hostileRequest(random, addr)
				if i >= hostileRequests {
					input = hostileSocket(random, addr)
				}
				if err := attack(addr, input); err != nil {
					note(err)
				}
				done.Add(1)
			}
		})
	}
	attackers.Wait()
	note(slow())
	r.figures.Hostile = int(done.Load())
	if api.current() != process {
		note(errors.New("the api has died"))
	}
	if strings.Contains(process.Output(), "panic") {
		note(fmt.Errorf("the api writes of a panic: %s", process.Output()))
	}
	note(healthy(ctx, addr))
	return errors.Join(wrong...)
}

// healthy waits until the api answers an honest request.
func healthy(ctx context.Context, addr string) error {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 2 * time.Second}
	return within(10*time.Second, func(context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/readyz", nil)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("/readyz answers %s", response.Status)
		}
		return nil
	})
}

// attack sends an input and reads what comes back. Only an answer of the 5xx kind is an error: a connection that is cut is
// a fine way to refuse. The exceptions are encodings of which HTTP says that their answer is 501, versions, of which it is
// 505, and the 503 for a client that has gone before it was answered: it says no more after its input, which to the api is
// the same.
func attack(addr string, input []byte) error {
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return fmt.Errorf("the api takes no connection: %w", err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	_, _ = conn.Write(input) // it may have been cut short
	_ = conn.(*net.TCPConn).CloseWrite()
	answer, _ := io.ReadAll(io.LimitReader(conn, 1<<20))
	if bytes.Contains(answer, []byte("the request was cancelled")) {
		return nil
	}
	for line := range bytes.SplitSeq(answer, []byte("\r\n")) {
		rest, found := bytes.CutPrefix(line, []byte("HTTP/1.1 5"))
		if found && !bytes.HasPrefix(rest, []byte("01")) && !bytes.HasPrefix(rest, []byte("05")) {
			return fmt.Errorf("the api answers %q to %.300q", line, input)
		}
	}
	return nil
}

// slowClients opens connections that send a byte now and then and never come to an end. The returned function reports
// whether the api has let go of those that never finished their header within the time it gives for that.
func slowClients(addr string) (wait func() error) {
	const clients, headerTime = 50, 5 * time.Second
	var waiting sync.WaitGroup
	var held atomic.Int64
	for range clients {
		waiting.Go(func() {
			conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
			if err != nil {
				return
			}
			defer conn.Close()
			_, _ = io.WriteString(conn, "POST /v1/tasks HTTP/1.1\r\nHost: "+addr+"\r\n")
			for begun := time.Now(); time.Since(begun) < 4*headerTime; <-time.After(200 * time.Millisecond) {
				if _, err := io.WriteString(conn, "X"); err != nil {
					return
				}
			}
			held.Add(1)
		})
	}
	return func() error {
		waiting.Wait()
		if n := held.Load(); n > 0 {
			return fmt.Errorf("%d of %d slow clients were not cut", n, clients)
		}
		return nil
	}
}

// hostileRequest makes up a malformed HTTP request.
func hostileRequest(random *rand.Rand, addr string) []byte {
	request := func(method, path, headers, body string) string {
		return fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\n%s\r\n%s", method, path, addr, headers, body)
	}
	post := func(headers, body string) string {
		return request("POST", pickOne(random, []string{"/v1/tasks", "/v1/tasks:batch", "/v1/queues/default/pause"}), headers, body)
	}
	sized := func(body string) string {
		return post("Content-Type: application/json\r\nContent-Length: "+strconv.Itoa(len(body))+"\r\n", body)
	}
	path := func() string {
		return pickOne(random, []string{"/v1/tasks/", "/v1/queues/", "/v1/events?queue=", "/v1/events?after=", "/v1/tasks?limit=", "/docs/", "/problems/", "/"})
	}
	deep := strings.Repeat(`{"payload":`, 1+random.IntN(5000))
	switch random.IntN(20) {
	case 0:
		return noise(random, 1+random.IntN(2000))
	case 1:
		return []byte(request(string(noise(random, 1+random.IntN(20))), "/v1/tasks", "", ""))
	case 2: // a header that is too large
		return []byte(request("GET", "/v1/queues", "X: "+strings.Repeat("a", 1<<20+1<<13)+"\r\n", ""))
	case 3: // a path that is too long
		return []byte(request("GET", path()+strings.Repeat("%2e%2e%2f", 1000+random.IntN(100_000)), "", ""))
	case 4: // bytes that are no text, in a path
		return []byte(request("GET", path()+string(noise(random, 100)), "", ""))
	case 5:
		return []byte(request("GET", path()+"%zz%"+strconv.Itoa(random.IntN(100))+"%00%ff%c0%ae", "", ""))
	case 6: // bytes that are no text, in JSON
		return []byte(sized(`{"type":"hostile","payload":"` + string(noise(random, 200)) + `"}`))
	case 7:
		return []byte(sized(deep))
	case 8:
		return []byte(sized(deep + "1" + strings.Repeat("}", len(deep)/11)))
	case 9: // more than a task may have
		return []byte(sized(`{"type":"hostile","payload":"` + strings.Repeat("x", 1<<20+random.IntN(1<<20)) + `"}`))
	case 10: // numbers that are none, or too large
		return []byte(sized(`{"type":"hostile","countdown":` + pickOne(random, []string{"1e999", "-1", "NaN", "9223372036854775808", "1e-400", `"x"`, "[]"}) + `,"payload":{}}`))
	case 11: // two lengths: of which each reader may believe another one
		return []byte(post("Content-Length: 5\r\nContent-Length: 50\r\n", "hello"))
	case 12: // a length and chunks
		return []byte(post("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\nGET /v1/queues HTTP/1.1\r\nHost: "+addr+"\r\n\r\n"))
	case 13: // chunks of a disguised kind
		return []byte(post("Transfer-Encoding: "+pickOne(random, []string{"xchunked", "chunked, identity", "\tchunked", "chunked\r\nTransfer-Encoding: x"})+"\r\n", "5\r\nhello\r\n0\r\n\r\n"))
	case 14: // chunks with sizes that are none
		return []byte(post("Transfer-Encoding: chunked\r\n", pickOne(random, []string{"-5", "fffffffffffffffff", "zz", "5;" + strings.Repeat("x", 10_000)})+"\r\nhello\r\n0\r\n\r\n"))
	case 15:
		return []byte(post("Content-Length: "+pickOne(random, []string{"-1", "1e3", "99999999999999999999", "0x10", "+5"})+"\r\n", "hello"))
	case 16: // a Host that is another's, or several
		return []byte("GET /v1/queues HTTP/1.1\r\nHost: " + pickOne(random, []string{"evil.example", addr + "\r\nHost: evil.example", "", string(noise(random, 20))}) + "\r\n\r\n")
	case 17: // line ends and spaces where there are to be none
		return []byte(request("GET", "/v1/queues", pickOne(random, []string{"X : y\r\n", " X: y\r\n", "X: y\n", "X: \r\n y\r\n", "\r\n", ":\r\n", "X\r\n", "X: \x00\r\n"}), ""))
	case 18: // versions that there are not, and the beginning of HTTP/2
		return []byte(pickOne(random, []string{"GET / HTTP/9.9\r\n\r\n", "GET /\r\n\r\n", "GET / HTTP/1.1", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET http:// HTTP/1.1\r\n\r\n", "CONNECT :99999 HTTP/1.1\r\n\r\n"}))
	default: // a body of which half never comes
		body := sized(`{"type":"hostile","payload":{}}`)
		return []byte(body[:len(body)-1-random.IntN(20)])
	}
}

// hostileSocket makes up a malformed handshake of a WebSocket, or a good one with malformed frames after it.
func hostileSocket(random *rand.Rand, addr string) []byte {
	handshake := func(change ...string) []byte {
		text := "GET /v1/ws?queue=alpha HTTP/1.1\r\nHost: " + addr + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
		return []byte(strings.NewReplacer(change...).Replace(text))
	}
	then := func(frames ...[]byte) []byte { return append(handshake(), bytes.Join(frames, nil)...) }
	switch random.IntN(18) {
	case 0:
		return handshake("Version: 13", "Version: "+pickOne(random, []string{"0", "99", "x", ""}))
	case 1:
		return handshake("dGhlIHNhbXBsZSBub25jZQ==", pickOne(random, []string{"", "short", strings.Repeat("A", 100_000), string(noise(random, 16))}))
	case 2:
		return handshake("Upgrade: websocket\r\n", pickOne(random, []string{"", "Upgrade: h2c\r\n", "Upgrade: websocket\r\nUpgrade: x\r\n"}))
	case 3:
		return handshake("\r\n\r\n", "\r\nOrigin: "+pickOne(random, []string{"null", "https://evil.example", "http://" + addr + ".evil.example", "http://" + addr + "@evil.example", string(noise(random, 30))})+"\r\n\r\n")
	case 4:
		return handshake("GET /v1/ws?queue=alpha", "POST /v1/ws?after="+strconv.Itoa(random.IntN(1e9)))
	case 5:
		return handshake("queue=alpha", "queue=alpha&after="+pickOne(random, []string{"-1", "9-9:9", "x@y", "%00", strings.Repeat("1", 10_000)}))
	case 6:
		return handshake("\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=99; x="+string(noise(random, 20))+"\r\n\r\n")
	case 7: // without a mask, which clients must have
		return then([]byte{0x81, 5}, []byte("hello"))
	case 8: // bits that are reserved
		return then(frame(0xF1, []byte("hello")))
	case 9: // kinds that there are not
		return then(frame(0x80|byte(3+random.IntN(5)), []byte("hello")))
	case 10: // controls in pieces, and too long
		return then(frame(0x09, []byte("ping")), frame(0x80, bytes.Repeat([]byte("x"), 200)))
	case 11:
		return then(frame(0x89, bytes.Repeat([]byte("p"), 126+random.IntN(1000))))
	case 12: // text that is none
		return then(frame(0x81, noise(random, 100)))
	case 13: // longer than anything
		return then([]byte{0x81, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1, 2, 3, 4}, []byte("hello"))
	case 14: // longer than is allowed, and really sent
		return then(frame(0x82, bytes.Repeat([]byte("x"), 64<<10)))
	case 15: // the rest of nothing, and beginnings without a rest
		return then(frame(0x80, []byte("rest")), frame(0x01, []byte("a")), frame(0x01, []byte("b")))
	case 16: // farewells that are none
		return then(frame(0x88, pickOne(random, [][]byte{{1}, {0, 0}, {3, 0xED}, {0xFF, 0xFF}, append([]byte{3, 0xE8}, noise(random, 50)...)})))
	default:
		return then(noise(random, 1+random.IntN(500)))
	}
}

// frame makes a frame of a WebSocket as clients send it, with a mask.
func frame(first byte, payload []byte) []byte {
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	return append(append(b, 0, 0, 0, 0), payload...) // a mask of zeros leaves it as it is
}

// noise is any bytes.
func noise(random *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return b
}
