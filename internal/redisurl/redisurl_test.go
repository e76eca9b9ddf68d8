package redisurl

import (
	"net"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

func TestOpenLeadsTo(t *testing.T) {
	t.Parallel()
	type target struct {
		kind     kind
		addrs    []string
		db       int
		user     string
		password string
		master   string
		tls      bool
	}
	cases := map[string]struct {
		url  string
		want target
	}{
		"one server":              {"redis://localhost", target{addrs: []string{"localhost:6379"}}},
		"one with everything":     {"redis://u:p%40ss@h:1/3?pool_size=5", target{addrs: []string{"h:1"}, db: 3, user: "u", password: "p@ss"}},
		"a password without user": {"redis://:secret@h", target{addrs: []string{"h:6379"}, password: "secret"}},
		"an IPv6 address":         {"redis://[::1]:7000", target{addrs: []string{"[::1]:7000"}}},
		"TLS":                     {"rediss://h", target{addrs: []string{"h:6379"}, tls: true}},
		"a socket":                {"unix:///run/redis.sock?db=2", target{kind: socket, addrs: []string{"/run/redis.sock"}, db: 2}},
		"a master by Sentinels": {"redis+sentinel://u:p@s1/1?addr=s2:26380&master=main&sentinel_password=q",
			target{kind: sentinel, addrs: []string{"s1:26379", "s2:26380"}, db: 1, user: "u", password: "p", master: "main"}},
		"a cluster": {"rediss+cluster://n1:7000?addr=n2:7001&addr=n3:7002",
			target{kind: cluster, addrs: []string{"n1:7000", "n2:7001", "n3:7002"}, tls: true}},
		"database 0 of a cluster": {"redis+cluster://n1/0", target{kind: cluster, addrs: []string{"n1:6379"}}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opts, kind, err := parse(c.url)
			if err != nil {
				t.Fatal(err)
			}
			got := target{kind, opts.Addrs, opts.DB, opts.Username, opts.Password, opts.MasterName, opts.TLSConfig != nil}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("\n got %+v\nwant %+v", got, c.want)
			}
			if opts.MaxRetries != -1 || !opts.ContextTimeoutEnabled || opts.ReadTimeout != 5*time.Second {
				t.Errorf("retries %d, deadlines of contexts %v, read timeout %v",
					opts.MaxRetries, opts.ContextTimeoutEnabled, opts.ReadTimeout)
			}
		})
	}
}

func TestOpenNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	cases := map[string]struct{ url, want string }{
		"nothing":                 {"", "empty"},
		"no scheme":               {"localhost:6379", "begin it with redis://"},
		"another scheme":          {"http://localhost", "begins with http://"},
		"no host":                 {"redis:///0", "the host is missing"},
		"a database by name":      {"redis://h/main", `is "main", should be a number from 0`},
		"two databases":           {"redis://h/1?db=2", "different databases"},
		"a negative database":     {"redis://h?db=-1", `db is "-1"`},
		"a cluster's database":    {"redis+cluster://h/1", "only database 0"},
		"an unknown setting":      {"redis://h?max_retries=3", `no setting "max_retries"`},
		"a bad duration":          {"redis://h?read_timeout=5", `read_timeout is "5", should be a positive duration`},
		"a bad count":             {"redis://h?pool_size=0", `pool_size is "0"`},
		"Sentinel without master": {"redis+sentinel://h", "add ?master=NAME"},
		"a master elsewhere":      {"redis://h?master=m", "redis+sentinel://"},
		"addr of one server":      {"redis://h?addr=i:1", "redis+cluster://"},
		"addr without a port":     {"redis+cluster://h?addr=i", `addr is "i", should be host:port`},
		"a relative socket":       {"unix://redis.sock", "three slashes"},
		"skip_verify without TLS": {"redis://h?skip_verify=true", "rediss"},
		"several faults at once":  {"redis://h/x?pool_size=y", "number from 0; pool_size"},
		"a # in the password":     {"redis://u:s3cr#et@h", "percent-encoded"},
		"a / in the password":     {"redis://u:s3cr/et@h", "percent-encoded"},
		"a / after digits":        {"redis://u:123/s3cret@h", "percent-encoded"},
		"a ? after digits":        {"redis://u:123?s3cret@h", "percent-encoded"},
		"a % in the password":     {"redis://u:s3cret%@h", "percent-encoded"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Open(c.url)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want one with %q", err, c.want)
			}
			if strings.Contains(err.Error(), "s3cr") || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %q tells the password, or is longer than a line", err)
			}
		})
	}
}

func TestCheckNamesAServerThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	for _, scheme := range []string{"redis", "redis+cluster"} {
		rdb, err := Open(scheme + "://:secret@" + addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { rdb.Close() })
		err = Check(t.Context(), rdb)
		want := "the Redis at " + addr + " cannot be reached: connect: connection refused"
		if err == nil || err.Error() != want {
			t.Errorf("%s: error %q, want %q", scheme, err, want)
		}
	}
}

var _ redis.Hook = runOnce{}
