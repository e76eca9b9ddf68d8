package safehttp

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
)

// errReached is what tests get instead of a connection once all checks are passed.
var errReached = errors.New("reached")

// newClient returns a strict client that resolves with z and whose connections all end in errReached.
func newClient(t *testing.T, z *zone, allow ...string) *http.Client {
	t.Helper()
	client, err := New(Config{
		Allow:      allow,
		Resolver:   z.resolver(),
		connecting: func(netip.AddrPort) error { return errReached },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	return client
}

// names is a zone in which outsiders point their names inwards.
func names() *zone {
	return newZone(map[string][][]string{
		"public.test":     {{"93.184.215.14"}},
		"six.test":        {{"2606:2800:21f:cb07:6820:80da:af6b:8b2c"}},
		"loopback.test":   {{"127.0.0.1"}},
		"loopback6.test":  {{"::1"}},
		"metadata.test":   {{"169.254.169.254"}},
		"private.test":    {{"10.0.0.5"}},
		"private172.test": {{"172.31.255.254"}},
		"private192.test": {{"192.168.1.1"}},
		"ula.test":        {{"fd00:ec2::254"}},
		"cgnat.test":      {{"100.100.100.200"}},
		"mapped.test":     {{"::ffff:10.0.0.1"}},
		"nat64.test":      {{"64:ff9b::a9fe:a9fe"}},
		"both.test":       {{"127.0.0.1", "10.0.0.1"}},
		"zero.test":       {{"0.0.0.0"}},
		"azure.test":      {{"168.63.129.16"}},
		// What C libraries make of numbers; Go's own resolver asks the name server.
		"2130706433": {{"127.0.0.1"}},
		"localhost":  {{"127.0.0.1"}}, // with a trailing dot, /etc/hosts is not asked
		"127.1":      {{"127.0.0.1"}},
	})
}

func TestHostileURLsAreBlocked(t *testing.T) {
	t.Parallel()
	urls := []string{
		// loopback, in every notation
		"http://127.0.0.1/",
		"http://127.0.0.1:80/",
		"https://127.0.0.1/",
		"http://127.255.255.254/",
		"http://localhost/",
		"http://LOCALHOST/",
		"http://localhost./",
		"http://127.0.0.1./",
		"http://2130706433/",
		"http://0x7f000001/",
		"http://0X7F.1/",
		"http://0177.0.0.1/",
		"http://017700000001/",
		"http://127.1/",
		"http://127.0.1/",
		"http://0x7f.0.0.0x1/",
		"http://127.0.0.1.:80/",
		"http://[::1]/",
		"http://[0:0:0:0:0:0:0:1]/",
		"http://[0000::0001]:443/",
		"http://[::ffff:127.0.0.1]/",
		"http://[::ffff:7f00:1]/",
		"http://[0:0:0:0:0:ffff:127.0.0.1]/",
		"http://[::127.0.0.1]/",
		"http://１２７.０.０.１/", // full-width digits
		"http://①②⑦.⓪.⓪.①/", // circled ones
		"http://127。0。0。1/", // ideographic full stops
		"http://user@127.0.0.1/",
		"http://public.test@127.0.0.1/",
		"http://public.test:80@127.0.0.1:80/",
		"http://127.0.0.1?@public.test/",
		"http://127.0.0.1#@public.test/",
		// unspecified, this network
		"http://0/",
		"http://0.0.0.0/",
		"http://0.1.2.3/",
		"http://[::]/",
		// private networks
		"http://10.0.0.1/",
		"http://10.255.255.255/",
		"http://172.16.0.1/",
		"http://172.31.255.255/",
		"http://192.168.0.1/",
		"http://[fd00::1]/",
		"http://[fc00::1]/",
		"http://[fec0::1]/",
		// link-local and clouds
		"http://169.254.169.254/latest/meta-data/",
		"http://169.254.170.2/v2/credentials",
		"http://2852039166/",
		"http://0xa9fea9fe/",
		"http://[::ffff:169.254.169.254]/",
		"http://[::ffff:a9fe:a9fe]/",
		"http://[fd00:ec2::254]/",
		"http://[fe80::1]/",
		"http://[fe80::1%25eth0]/",
		"http://100.64.0.1/",
		"http://100.100.100.200/",
		"http://168.63.129.16/",
		"http://192.0.0.192/",
		// addresses inside of addresses
		"http://[64:ff9b::127.0.0.1]/",
		"http://[64:ff9b::a9fe:a9fe]/",
		"http://[64:ff9b::8.8.8.8]/",
		"http://[64:ff9b:1::a00:1]/",
		"http://[2002:7f00:1::]/",
		"http://[2002:a00:1::1]/",
		"http://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/",
		"http://[::ffff:8.8.8.8]/",
		// multicast, broadcast, reserved, documentation
		"http://224.0.0.1/",
		"http://239.255.255.250/",
		"http://255.255.255.255/",
		"http://240.0.0.1/",
		"http://198.18.0.1/",
		"http://192.0.2.1/",
		"http://192.88.99.1/",
		"http://[ff02::1]/",
		"http://[2001:db8::1]/",
		"http://[3fff::1]/",
		"http://[100::1]/",
		"http://[4000::1]/",
		// names that lead inwards
		"http://loopback.test/",
		"http://loopback6.test/",
		"http://metadata.test/",
		"http://private.test/",
		"http://private172.test/",
		"http://private192.test/",
		"http://ula.test/",
		"http://cgnat.test/",
		"http://mapped.test/",
		"http://nat64.test/",
		"http://both.test/",
		"http://zero.test/",
		"http://azure.test/",
		"http://METADATA.test./",
		// ports
		"http://public.test:22/",
		"http://public.test:6379/",
		"http://public.test:8080/",
		"http://public.test:0/",
		"http://public.test:65616/", // 80 modulo 2¹⁶
		"https://93.184.215.14:8443/",
		// schemes
		"file:///etc/passwd",
		"ftp://public.test/",
		"gopher://public.test:80/_x",
		"dict://public.test:80/",
		"ws://public.test/",
		"unix:///run/docker.sock",
		"http:///path",
		"http:public.test",
		"//public.test/",
		"public.test",
	}
	if len(urls) < 60 {
		t.Fatalf("only %d URLs", len(urls))
	}
	for _, raw := range urls {
		t.Run(raw, func(t *testing.T) {
			t.Parallel()
			client := newClient(t, names())

			resp, err := client.Get(raw)

			if err == nil {
				resp.Body.Close()
				t.Fatalf("got status %d, want a refusal", resp.StatusCode)
			}
			blocked, ok := errors.AsType[*BlockedError](err)
			if !ok || !Refused(err) {
				t.Fatalf("got %v, want a *BlockedError", err)
			}
			if blocked.Reason == "" || blocked.Remedy == "" {
				t.Errorf("%v does not say what is wrong and what would be right", blocked)
			}
		})
	}
}

func TestPublicURLsPass(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{
		"http://public.test/",
		"https://public.test/",
		"https://public.test:443/path?q=1",
		"http://PUBLIC.test.:80/",
		"http://user:secret@public.test/",
		"http://six.test/",
		"http://8.8.8.8/",
		"https://[2606:4700:4700::1111]/",
		"http://172.32.0.1/", // just beyond RFC 1918
		"http://100.128.0.1/",
	} {
		t.Run(raw, func(t *testing.T) {
			t.Parallel()
			client := newClient(t, names())

			_, err := client.Get(raw)

			if !errors.Is(err, errReached) {
				t.Errorf("got %v, want a connection", err)
			}
			if Refused(err) {
				t.Errorf("Refused(%v) is true", err)
			}
		})
	}
}

func TestAURLThatCannotBeReadIsAnError(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{
		"http://public.test\\@127.0.0.1/",
		"http://127.0.0.1\x00.public.test/",
		"http://public.test\r\nHost:127.0.0.1/",
		"http://[::1/",
		"http://[v1.127.0.0.1]/",
		"http://public.test:80:22/",
		"http://%31%32%37.0.0.1:x/",
	} {
		if _, err := newClient(t, names()).Get(raw); err == nil || errors.Is(err, errReached) {
			t.Errorf("%q: got %v, want an error before any connection", raw, err)
		}
	}
}

// The name server answers with a public address while the name is looked at, and with an inner one from then on.
func TestRebindingGainsNothing(t *testing.T) {
	t.Parallel()
	var hits atomic.Int32
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	t.Cleanup(inside.Close)
	z := newZone(map[string][][]string{"rebind.test": {{"93.184.215.14"}, {"127.0.0.1"}}})
	var reached []netip.AddrPort
	client, err := New(Config{
		Resolver: z.resolver(),
		connecting: func(addr netip.AddrPort) error {
			reached = append(reached, addr)
			return errReached
		},
	})
	if err != nil {
		t.Fatal(err)
	}

	_, first := client.Get("http://rebind.test/")
	lookups := z.lookups("rebind.test")
	_, second := client.Get("http://rebind.test/")

	if !errors.Is(first, errReached) {
		t.Errorf("while the name is public: got %v, want a connection", first)
	}
	if lookups != 1 {
		t.Errorf("one request made %d lookups; with more than one, the checked address may not be the used one", lookups)
	}
	if want := netip.MustParseAddrPort("93.184.215.14:80"); len(reached) != 1 || reached[0] != want {
		t.Errorf("reached %v, want only %v", reached, want)
	}
	blocked, ok := errors.AsType[*BlockedError](second)
	if !ok || blocked.Addr != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("after the name has turned: got %v, want a *BlockedError for 127.0.0.1", second)
	}
	if hits.Load() != 0 {
		t.Error("the inside was reached")
	}
}

func TestARefusalSaysWhatWouldBeRightAndHidesTheInside(t *testing.T) {
	t.Parallel()
	_, err := newClient(t, names()).Get("http://user:secret@private.test/x")

	want := `Get "http://user:***@private.test/x": private.test:80 is blocked: ` +
		`it is a private address (RFC 1918); the allow-list entry "private.test:80" would permit it`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if strings.Contains(err.Error(), "10.0.0.5") {
		t.Error("the text tells the inner address")
	}
	if _, ok := errors.AsType[*url.Error](err); !ok {
		t.Error("it is not a *url.Error, as http.Client promises")
	}
}
