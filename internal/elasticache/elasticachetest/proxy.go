// Package elasticachetest has a Redis that is logged in to with IAM, as strict as ElastiCache.
package elasticachetest

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seri-queue/seri/internal/proxytest"
)

// Account is whose tokens are accepted.
type Account struct {
	Region, Cache, User, KeyID, Secret, SessionToken string
	Serverless                                       bool
}

// Proxy stands before a Redis without passwords, and lets in who has a token. Its Cut ends all connections, as ElastiCache ends
// each 12 h after its login.
type Proxy struct {
	*proxytest.Proxy
	account Account

	mu    sync.Mutex
	now   func() time.Time
	taken []string // the tokens that were accepted
	wrong []error  // why others were not
}

// Run starts a proxy before the Redis at addr, until the test ends.
func Run(t testing.TB, addr string, account Account) *Proxy {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate(t)}, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{account: account, now: time.Now}
	p.Proxy = proxytest.New(listener, addr, p.serve)
	t.Cleanup(p.Close)
	return p
}

// URL returns where clients find the proxy, with the user and without a password.
func (p *Proxy) URL() string {
	return fmt.Sprintf("rediss://%s@%s?skip_verify=true", p.account.User, p.Addr())
}

// Clock has the proxy take another time for now.
func (p *Proxy) Clock(now func() time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = now
}

// Logins returns the tokens that were accepted, and why others were not.
func (p *Proxy) Logins() (taken []string, wrong []error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.taken), slices.Clone(p.wrong)
}

func (p *Proxy) serve(conn, upstream net.Conn) {
	from := bufio.NewReader(conn)
	for { // until the login
		command, err := readCommand(from)
		if err != nil {
			return
		}
		at := slices.IndexFunc(command, func(word string) bool { return strings.EqualFold(word, "AUTH") })
		if at < 0 || at+2 >= len(command) {
			_, _ = io.WriteString(conn, "-NOAUTH Authentication required.\r\n")
			continue
		}
		if !p.admit(command[at+1], command[at+2]) {
			_, _ = io.WriteString(conn, "-WRONGPASS invalid username-password pair or user is disabled.\r\n")
			return
		}
		if at == 0 {
			_, _ = io.WriteString(conn, "+OK\r\n")
			break
		}
		if _, err := io.WriteString(upstream, encode(slices.Delete(command, at, at+3))); err != nil { // HELLO 3 AUTH user token
			return
		}
		break
	}
	proxytest.Carry(from, conn, upstream)
}

func (p *Proxy) admit(user, token string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	err := p.account.Verify(user, token, p.now())
	if err != nil {
		p.wrong = append(p.wrong, err)
		return false
	}
	p.taken = append(p.taken, token)
	return true
}

// Verify says what is wrong with a token. It computes the signature by itself, from the text of "Signature Version 4".
func (a Account) Verify(user, token string, now time.Time) error {
	if user != a.User {
		return fmt.Errorf("the user is %q", user)
	}
	host, rawQuery, ok := strings.Cut(token, "/?")
	if !ok || host != a.Cache {
		return fmt.Errorf("the host is %q", host)
	}
	parameters := make(map[string]string)
	for pair := range strings.SplitSeq(rawQuery, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if _, twice := parameters[name]; twice {
			return fmt.Errorf("%s is there twice", name)
		}
		plain, err := url.QueryUnescape(value)
		if err != nil {
			return err
		}
		parameters[name] = plain
	}
	want := map[string]string{
		"Action": "connect", "User": a.User, "X-Amz-Algorithm": "AWS4-HMAC-SHA256", "X-Amz-Expires": "900", "X-Amz-SignedHeaders": "host",
	}
	if a.SessionToken != "" {
		want["X-Amz-Security-Token"] = a.SessionToken
	}
	if a.Serverless {
		want["ResourceType"] = "ServerlessCache"
	}
	for name, value := range want {
		if parameters[name] != value {
			return fmt.Errorf("%s is %q, must be %q", name, parameters[name], value)
		}
	}
	signed, err := time.Parse("20060102T150405Z", parameters["X-Amz-Date"])
	if err != nil {
		return err
	}
	day := signed.Format("20060102")
	if age := now.Sub(signed); age < -time.Minute || age > 15*time.Minute {
		return fmt.Errorf("it was signed %v ago", age)
	}
	scope := strings.Join([]string{day, a.Region, "elasticache", "aws4_request"}, "/")
	if got := parameters["X-Amz-Credential"]; got != a.KeyID+"/"+scope {
		return fmt.Errorf("X-Amz-Credential is %q", got)
	}
	var names []string
	for name := range parameters {
		if name != "X-Amz-Signature" {
			names = append(names, name)
		}
	}
	if len(names) != len(want)+2 {
		return fmt.Errorf("it has the parameters %q", names)
	}
	slices.Sort(names)
	var query []string
	for _, name := range names {
		query = append(query, name+"="+escape(parameters[name]))
	}
	request := strings.Join([]string{"GET", "/", strings.Join(query, "&"), "host:" + host, "", "host", hexOf(sha256.Sum256(nil))}, "\n")
	toSign := strings.Join([]string{"AWS4-HMAC-SHA256", parameters["X-Amz-Date"], scope, hexOf(sha256.Sum256([]byte(request)))}, "\n")
	key := []byte("AWS4" + a.Secret)
	for _, part := range []string{day, a.Region, "elasticache", "aws4_request", toSign} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	if got := parameters["X-Amz-Signature"]; got != hex.EncodeToString(key) {
		return fmt.Errorf("the signature is %q, must be %x", got, key)
	}
	return nil
}

// escape encodes as Signature Version 4 has it: everything but the unreserved characters of RFC 3986.
func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

func hexOf(sum [sha256.Size]byte) string { return hex.EncodeToString(sum[:]) }

// readCommand reads an array of bulk strings.
func readCommand(r *bufio.Reader) ([]string, error) {
	n, err := readNumber(r, '*')
	if err != nil {
		return nil, err
	}
	words := make([]string, n)
	for i := range words {
		size, err := readNumber(r, '$')
		if err != nil {
			return nil, err
		}
		word := make([]byte, size+2)
		if _, err := io.ReadFull(r, word); err != nil {
			return nil, err
		}
		words[i] = string(word[:size])
	}
	return words, nil
}

func readNumber(r *bufio.Reader, mark byte) (int, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return 0, err
	}
	line = strings.TrimRight(line, "\r\n")
	if line == "" || line[0] != mark {
		return 0, errors.New("not a command")
	}
	return strconv.Atoi(line[1:])
}

func encode(words []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(words))
	for _, word := range words {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(word), word)
	}
	return b.String()
}

func certificate(t testing.TB) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "cache"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
