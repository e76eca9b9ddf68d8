package relay

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/seri-queue/seri/internal/events"
)

// Broker is a system into which events are relayed.
type Broker interface {
	events.Source
	// Name says which one it is, without secrets.
	Name() string
	// Publish hands records of one queue over, and returns when the broker has confirmed all. After an error some may have
	// arrived: the call is repeated.
	Publish(ctx context.Context, records []events.Record) error
}

// Schemes are those of the URLs that [Open] takes.
const Schemes = "nats://, tls://, kafka://, amqp:// or amqps://"

// target is what a URL says, for every broker.
type target struct {
	url    *url.URL // without the settings below
	more   []string // further addresses, host:port
	stream string   // what the stream, topic or queue is called
	keep   time.Duration
	parts  int // Kafka: partitions of a topic that is made
	copies int // of what is made
}

// IsURL reports whether a setting is meant as the URL of a broker. It may hold a password, so whatever is wrong with it, it is
// not to be told.
func IsURL(text string) bool { return strings.Contains(text, "://") }

// errUnreadable tells no part of the URL: what is in the wrong place may be one of a password.
var errUnreadable = errors.New("cannot read the URL; one looks like nats://user:password@host:4222, with :/?#@% in user and password percent-encoded")

// parse reads a broker's URL.
func parse(text string) (target, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || strings.Contains(u.Path+u.RawQuery+u.Fragment, "@") { // which ends a password that was cut short
		return target{}, errUnreadable
	}
	switch u.Scheme {
	case "nats", "tls", "kafka", "amqp", "amqps":
	default:
		return target{}, fmt.Errorf("the URL begins with %s://; it should be %s", u.Scheme, Schemes)
	}
	t := target{url: u, stream: "seri-events", keep: 7 * 24 * time.Hour, parts: 8, copies: 1}
	query := u.Query()
	t.more = query["addr"]
	query.Del("addr")
	take := func(name string) (value string) {
		value = query.Get(name)
		query.Del(name)
		return value
	}
	if name := take("stream"); name != "" {
		t.stream = name
	}
	var wrong []error
	if text := take("keep"); text != "" {
		if t.keep, err = time.ParseDuration(text); err != nil || t.keep < time.Minute {
			wrong = append(wrong, fmt.Errorf("keep is %q, must be a duration of at least a minute, such as 168h", text))
		}
	}
	for name, n := range map[string]*int{"partitions": &t.parts, "replicas": &t.copies} {
		if text := take(name); text != "" {
			if *n, err = strconv.Atoi(text); err != nil || *n < 1 {
				wrong = append(wrong, fmt.Errorf("%s is %q, must be a whole number, at least 1", name, text))
			}
		}
	}
	var ignored []string // that this kind of broker knows nothing of
	switch u.Scheme {
	case "kafka":
		if u.User != nil {
			wrong = append(wrong, errors.New("there is a user, but relaying to Kafka knows no SASL: leave it out, and let the network keep others away"))
		}
	case "amqp", "amqps":
		ignored = []string{"addr", "partitions"}
	default:
		ignored = []string{"partitions"}
	}
	for _, name := range ignored {
		if u.Query().Has(name) {
			wrong = append(wrong, fmt.Errorf("the setting %q has no meaning with %s://", name, u.Scheme))
		}
	}
	for name := range query {
		wrong = append(wrong, fmt.Errorf("there is no setting %q; there are addr, stream, keep, partitions and replicas", name))
	}
	u.RawQuery = ""
	return t, errors.Join(wrong...)
}

// Check reports what is wrong with a broker's URL.
func Check(text string) error {
	_, err := parse(text)
	return err
}

// Open connects to the broker of a URL, and makes the stream, topic or queue if it is not there:
//
//	nats://[user:password@]host:4222, tls://…     a JetStream stream
//	kafka://host:9092                             a topic
//	amqp://user:password@host:5672/vhost, amqps   a stream of RabbitMQ
//
// Settings follow the question mark: addr=host:port, for another server of the same cluster, which may be repeated (NATS and
// Kafka); stream=NAME (default: seri-events); and of what is made, keep=168h, replicas=1 and, in
// Kafka, partitions=8: the events of one queue are in one of them.
func Open(ctx context.Context, text string) (Broker, error) {
	t, err := parse(text)
	if err != nil {
		return nil, err
	}
	switch t.url.Scheme {
	case "kafka":
		return openKafka(ctx, t)
	case "amqp", "amqps":
		return openRabbit(ctx, t)
	default:
		return openNATS(ctx, t)
	}
}

// address is where a target is, without secrets: NATS' tokens are where others have users.
func (t target) address() string { return t.url.Scheme + "://" + t.url.Host }

// name is how a target is named in logs.
func (t target) name() string { return t.address() + "/" + t.stream }
