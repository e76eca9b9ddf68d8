package role

import (
	"strings"
	"testing"

	"github.com/seri-queue/seri/internal/store"
)

func TestDevRefusesABroker(t *testing.T) {
	t.Parallel()
	err := (&Dev{Carrying: Carrying{Events: "nats://127.0.0.1:4222"}}).Check()
	if err == nil || !strings.Contains(err.Error(), "--events (SERI_EVENTS) is the URL of a broker, but dev runs no relay") {
		t.Errorf("got %v", err)
	}
}

func TestAPasswordIsNotToldWhereAURLCannotBeRead(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"nats://user:s3c#ret@127.0.0.1:4222", "amqp://user:s3c%ret@127.0.0.1", "kafka://user:s3c/ret@127.0.0.1:9092", "tls://user:12#s3c@127.0.0.1",
		"nats://user:12/s3c@127.0.0.1:4222", "amqp://user:12?s3c@127.0.0.1", "nats://user:12?stream=s3c@127.0.0.1",
	} {
		api := &API{Part: "relay", Common: Common{Carrying: Carrying{Events: text}}}
		_, byName := store.ParseCarrier(text)
		for name, err := range map[string]error{"api": api.Check(), "worker": (&Worker{Common: api.Common}).Check(), "a carrier": byName} {
			if err == nil || strings.Contains(err.Error(), "s3c") || strings.Contains(err.Error(), ":12") {
				t.Errorf("%s, %s: %v", text, name, err)
			}
		}
	}
}
