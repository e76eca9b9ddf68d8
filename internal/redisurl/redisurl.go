// Package redisurl turns a URL into a Redis client that is set up the way Seri needs it.
//
//	redis://[user:password@]host[:6379][/db]             one server
//	rediss://…                                           the same over TLS; so for every scheme with an s
//	unix:///path/to/redis.sock[?db=1]                    one server, over a Unix socket
//	redis+sentinel://[user:password@]host[:26379][/db]?master=NAME    the master that Sentinels name
//	redis+cluster://[user:password@]host[:6379]          a Redis Cluster
//
// User and password are those of Redis, and percent-encoded where they hold one of :/?#@. Further settings follow the
// question mark:
//
//	addr=host:port          another Sentinel or cluster node to ask; may be repeated
//	master=NAME             the master's name; Sentinel only, required
//	sentinel_username=…     for Sentinels that ask for credentials of their own; likewise sentinel_password
//	db=N                    the database, as an alternative to the path; not for clusters, which have but one
//	pool_size=N             connections for each server. Default: 10 for each CPU
//	dial_timeout=5s         how long to wait for a connection
//	read_timeout=5s         how long to wait for an answer; blocking commands add what they block for
//	write_timeout=5s        how long to wait until a command is sent
//	client_name=…           shown by CLIENT LIST
//	skip_verify=true        accept any TLS certificate. For a private authority, set SSL_CERT_FILE instead
//
// # What Seri needs
//
// No command is repeated behind the caller's back. go-redis repeats one whose answer was lost, up to three times; a
// script that dequeues would then have run twice, and the tasks of its first run would be leased to nobody. Callers that
// can repeat safely do so themselves. Redirections of a cluster (MOVED, ASK) are followed: nothing has run then.
//
// A context's deadline also bounds the network, and notifications of maintenance, which only Redis Enterprise sends, are
// not asked for.
package redisurl

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

const timeout = 5 * time.Second

// Open returns a client for the URL. It connects to nothing yet: [Check] does.
// The error names every fault of the URL and what would be right, and never the password.
func Open(rawURL string) (redis.UniversalClient, error) {
	opts, kind, err := parse(rawURL)
	if err != nil {
		return nil, err
	}
	return open(opts, kind), nil
}

func open(opts *redis.UniversalOptions, kind kind) redis.UniversalClient {
	switch kind {
	case sentinel:
		return redis.NewFailoverClient(opts.Failover())
	case cluster:
		rdb := redis.NewClusterClient(opts.Cluster())
		rdb.AddHook(runOnce{})
		return rdb
	default:
		return redis.NewClient(opts.Simple())
	}
}

// kind is what a URL leads to.
type kind int

const (
	single kind = iota
	socket
	sentinel
	cluster
)

var schemes = map[string]kind{
	"redis":           single,
	"rediss":          single,
	"unix":            socket,
	"redis+sentinel":  sentinel,
	"rediss+sentinel": sentinel,
	"redis+cluster":   cluster,
	"rediss+cluster":  cluster,
}

// schemeList is for error messages, in the order of the package comment.
const schemeList = "redis://, rediss://, unix://, redis+sentinel://, rediss+sentinel://, redis+cluster:// or rediss+cluster://"

func parse(rawURL string) (*redis.UniversalOptions, kind, error) {
	if rawURL == "" {
		return nil, 0, errors.New("the Redis URL is empty; redis://localhost:6379 is one")
	}
	u, err := url.Parse(rawURL)
	if err != nil {
		// What url.Parse says quotes the URL, and can quote a password that it took for a port.
		return nil, 0, errors.New("cannot read the Redis URL; one looks like redis://user:password@host:6379/0, " +
			"with :/?#@ in user and password percent-encoded (%3A %2F %3F %23 %40)")
	}
	kind, known := schemes[u.Scheme]
	switch {
	case u.Scheme == "" || u.Opaque != "":
		return nil, 0, errors.New("the Redis URL does not say what it is; begin it with " + schemeList)
	case !known:
		return nil, 0, fmt.Errorf("the Redis URL begins with %s://; it should be %s", u.Scheme, schemeList)
	}
	p := &parser{url: u, query: u.Query(), kind: kind}
	opts := p.options()
	if len(p.faults) > 0 {
		return nil, 0, fmt.Errorf("the Redis URL is wrong: %s", strings.Join(p.faults, "; "))
	}
	return opts, kind, nil
}

// parser takes settings out of a URL and collects what is wrong with it.
type parser struct {
	url    *url.URL
	query  url.Values // what has not been read yet
	kind   kind
	faults []string
}

func (p *parser) options() *redis.UniversalOptions {
	password, _ := p.url.User.Password()
	opts := &redis.UniversalOptions{
		Addrs:            p.addrs(),
		Username:         p.url.User.Username(),
		Password:         password,
		DB:               p.db(),
		ClientName:       p.take("client_name"),
		PoolSize:         p.count("pool_size"),
		DialTimeout:      p.duration("dial_timeout"),
		ReadTimeout:      p.duration("read_timeout"),
		WriteTimeout:     p.duration("write_timeout"),
		MaxRetries:       -1,
		TLSConfig:        p.tls(),
		MasterName:       p.master(),
		SentinelUsername: p.ofSentinel("sentinel_username"),
		SentinelPassword: p.ofSentinel("sentinel_password"),

		ContextTimeoutEnabled:    true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	if opts.TLSConfig == nil {
		opts.Dialer = near(redis.NewDialer(&redis.Options{DialTimeout: cmp.Or(opts.DialTimeout, timeout)}))
	}
	var unknown []string
	for name := range p.query {
		unknown = append(unknown, name)
	}
	slices.Sort(unknown)
	for _, name := range unknown {
		p.fault("there is no setting %s", show(name))
	}
	if p.url.Fragment != "" {
		p.fault("a # must be percent-encoded (%%23)")
	}
	return opts
}

func (p *parser) addrs() []string {
	if p.kind == socket {
		if p.url.Host != "" || p.url.Path == "" {
			p.fault("a socket needs its absolute path after three slashes: unix:///run/redis.sock")
		}
		return []string{p.url.Path}
	}
	port := "6379"
	if p.kind == sentinel {
		port = "26379"
	}
	if p.url.Hostname() == "" {
		p.fault("the host is missing")
	}
	addrs := []string{net.JoinHostPort(p.url.Hostname(), cmp.Or(p.url.Port(), port))}
	more := p.query["addr"]
	delete(p.query, "addr")
	if len(more) > 0 && p.kind == single {
		p.fault("addr names another Sentinel or cluster node; begin the URL with redis+sentinel:// or redis+cluster://")
	}
	for _, addr := range more {
		host, number, err := net.SplitHostPort(addr)
		if err != nil || host == "" || number == "" {
			p.fault("addr is %s, should be host:port", show(addr))
			continue
		}
		addrs = append(addrs, addr)
	}
	return addrs
}

func (p *parser) db() int {
	name, text := "the database after the slash", strings.Trim(p.url.Path, "/")
	if p.kind == socket {
		text = ""
	}
	if asked := p.take("db"); asked != "" {
		if text != "" && text != asked {
			p.fault("the path and db= name different databases")
		}
		name, text = "db", asked
	}
	if text == "" {
		return 0
	}
	n, err := strconv.Atoi(text)
	switch {
	case err != nil || n < 0:
		p.fault("%s is %s, should be a number from 0", name, show(text))
	case n > 0 && p.kind == cluster:
		p.fault("a cluster has only database 0, not %d", n)
	}
	return n
}

func (p *parser) tls() *tls.Config {
	skip := p.take("skip_verify")
	if !strings.HasPrefix(p.url.Scheme, "rediss") {
		if skip != "" {
			p.fault("skip_verify is for TLS; begin the URL with rediss")
		}
		return nil
	}
	if skip == "" {
		skip = "false"
	}
	insecure, err := strconv.ParseBool(skip)
	if err != nil {
		p.fault("skip_verify is %s, should be true or false", show(skip))
	}
	// Without a ServerName each server is verified under the name by which it is dialled, as Sentinel and Cluster need.
	return &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: insecure}
}

func (p *parser) master() string {
	name := p.ofSentinel("master")
	if name == "" && p.kind == sentinel {
		p.fault("the name of the master is missing; add ?master=NAME")
	}
	return name
}

// ofSentinel takes a setting that only Sentinel knows.
func (p *parser) ofSentinel(name string) string {
	value := p.take(name)
	if value != "" && p.kind != sentinel {
		p.fault("%s is for Sentinel; begin the URL with redis+sentinel://", name)
	}
	return value
}

func (p *parser) count(name string) int {
	text := p.take(name)
	if text == "" {
		return 0
	}
	n, err := strconv.Atoi(text)
	if err != nil || n <= 0 {
		p.fault("%s is %s, should be a positive number", name, show(text))
	}
	return n
}

func (p *parser) duration(name string) time.Duration {
	text := p.take(name)
	if text == "" {
		return timeout
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		p.fault("%s is %s, should be a positive duration such as 5s or 500ms", name, show(text))
	}
	return d
}

func (p *parser) take(name string) string {
	value := p.query.Get(name)
	delete(p.query, name)
	return value
}

func (p *parser) fault(format string, args ...any) {
	p.faults = append(p.faults, fmt.Sprintf(format, args...))
}

// show quotes part of a URL, unless it may be the end of a password that holds a / or a ?.
func show(text string) string {
	if strings.Contains(text, "@") {
		return "not readable (is a :/?#@ in the password not percent-encoded?)"
	}
	return strconv.Quote(text)
}
