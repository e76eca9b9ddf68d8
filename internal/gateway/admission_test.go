package gateway_test

import (
	"errors"
	"runtime/debug"
	"testing"

	"github.com/seri-queue/seri/internal/events"
	"github.com/seri-queue/seri/internal/gateway"
)

// TestProcessThatIsCloseToItsMemoryLimitIsAFullHouse is not parallel: the limit is the whole process's.
func TestProcessThatIsCloseToItsMemoryLimitIsAFullHouse(t *testing.T) {
	s := newSite(t, gateway.Config{}, events.Config{})
	inside := s.mustOpen("WebSocket", "task=a")
	read(t, inside, 1)
	try := func() error {
		stream, err := s.open("SSE", "task=a")
		if err == nil {
			err = stream.Close()
		}
		return err
	}

	usual := debug.SetMemoryLimit(1 << 20)
	defer debug.SetMemoryLimit(usual)
	var err error
	for err == nil && t.Context().Err() == nil { // memory is looked at now and then
		err = try()
	}

	if refused, ok := errorsAsStatus(err); !ok || refused.Status != 503 || refused.Header.Get("Retry-After") == "" {
		t.Errorf("got %v", err)
	}
	s.emit("a", 2)
	read(t, inside, 1)
	debug.SetMemoryLimit(usual)
	for err = errors.New("not tried"); err != nil && t.Context().Err() == nil; {
		err = try()
	}
}

func TestClientsAreCountedByAnAddressThatTheyCannotChoose(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		remote    string
		forwarded []string
		want      string
	}{
		"straight":                                 {"203.0.113.7:1234", nil, "203.0.113.7"},
		"straight, with a header of its own":       {"203.0.113.7:1234", []string{"198.51.100.1"}, "203.0.113.7"},
		"through a load balancer":                  {"10.0.0.5:1234", []string{"203.0.113.7"}, "203.0.113.7"},
		"through one, with a header of its own":    {"10.0.0.5:1234", []string{"198.51.100.1, 203.0.113.7"}, "203.0.113.7"},
		"through two":                              {"127.0.0.1:1234", []string{"203.0.113.7", "10.0.0.5"}, "203.0.113.7"},
		"through one that does not say":            {"10.0.0.5:1234", nil, ""},
		"through one that says what is no address": {"10.0.0.5:1234", []string{"unknown"}, ""},
		"of a network of IPv6":                     {"[2001:db8:1:2:3::4]:1234", nil, "2001:db8:1:2::/64"},
		"IPv4 as IPv6":                             {"[::ffff:203.0.113.7]:1234", nil, "203.0.113.7"},
		"nothing that is known":                    {"@", nil, ""},
		"inside, with a zone":                      {"[fe80::1%eth0]:1", []string{"203.0.113.7"}, "203.0.113.7"},
	} {
		if got := gateway.AddressOf(c.remote, c.forwarded...); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}
