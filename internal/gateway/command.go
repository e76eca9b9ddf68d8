package gateway

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"time"

	"github.com/seri-queue/seri/internal/events"
)

// command is a message of a client that has asked for the subprotocol of commands.
type command struct {
	Op            string   `json:"op"` // subscribe, unsubscribe, authorize, ack, ping
	Token         string   `json:"token"`
	After         string   `json:"after"`    // subscribe: resume there
	Quality       string   `json:"qos"`      // subscribe: the guarantee
	Consumer      string   `json:"consumer"` // subscribe: the name under which the client acknowledges
	Subscriptions []wanted `json:"subscriptions"`
	IDs           []string `json:"ids"`    // unsubscribe
	Cursor        string   `json:"cursor"` // ack: everything up to it has been dealt with
}

// wanted is one subscription that a client asks for, under an ID of its own choice.
type wanted struct {
	ID       string `json:"id"`
	Task     string `json:"task"`
	Owner    string `json:"owner"`
	Queue    string `json:"queue"`
	Type     string `json:"type"`
	Schedule string `json:"schedule"`
	Log      bool   `json:"log"` // the task's own log, and not its events
}

func (w wanted) filter() events.Filter {
	return events.Filter{Task: w.Task, Owner: w.Owner, Queue: w.Queue, Type: w.Type, Schedule: w.Schedule}
}

// check returns what is wrong with what a client asks for.
func (w wanted) check() error {
	if w.ID == "" || len(w.ID) > maxParameter {
		return fmt.Errorf("id has %d bytes, must have 1 to %d", len(w.ID), maxParameter)
	}
	for _, f := range []struct{ name, value string }{
		{"task", w.Task}, {"owner", w.Owner}, {"queue", w.Queue}, {"type", w.Type}, {"schedule", w.Schedule},
	} {
		if len(f.value) > maxParameter {
			return fmt.Errorf("%s has %d bytes, at most %d are allowed", f.name, len(f.value), maxParameter)
		}
	}
	return nil
}

// readCommand reads a message. The error says to the client what is wrong with it.
func readCommand(message []byte) (command, error) {
	var c command
	decoder := json.NewDecoder(bytes.NewReader(message))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&c); err != nil {
		return c, errors.New("the message is no command: " + unreadable(err))
	}
	if decoder.More() {
		return c, errors.New("the message has more than one JSON value")
	}
	switch c.Op {
	case "subscribe":
		if len(c.Subscriptions) == 0 {
			return c, errors.New("subscribe has no subscriptions")
		}
	case "unsubscribe":
		if len(c.IDs) == 0 {
			return c, errors.New("unsubscribe has no ids")
		}
	case "authorize":
		if c.Token == "" {
			return c, errors.New("authorize has no token")
		}
	case "ack":
		if c.Cursor == "" {
			return c, errors.New("ack has no cursor: give that of the last frame that has been dealt with")
		}
	case "ping":
	default:
		return c, fmt.Errorf("op is %.60q; there are subscribe, unsubscribe, authorize, ack and ping", c.Op)
	}
	return c, c.checkFields()
}

// checkFields refuses what means nothing to the command: who gives it expects something of it.
func (c *command) checkFields() error {
	for _, field := range [...]struct {
		name  string
		given bool
		of    string
	}{
		{"after", c.After != "", "subscribe"}, {"qos", c.Quality != "", "subscribe"}, {"consumer", c.Consumer != "", "subscribe"},
		{"subscriptions", len(c.Subscriptions) > 0, "subscribe"}, {"ids", len(c.IDs) > 0, "unsubscribe"}, {"cursor", c.Cursor != "", "ack"},
	} {
		if field.given && c.Op != field.of {
			return fmt.Errorf("%s has %s, which is for %s", c.Op, field.name, field.of)
		}
	}
	return nil
}

// checkOfLogs returns what a subscribe has that means nothing to logs, if it is about nothing else.
func (c *command) checkOfLogs() error {
	for _, field := range [...]struct{ name, value string }{{"after", c.After}, {"qos", c.Quality}, {"consumer", c.Consumer}} {
		if field.value != "" {
			return errors.New(field.name + " is about events, and this follows logs alone: leave it out, or subscribe to events, too")
		}
	}
	return nil
}

// unreadable says in the client's words why a message cannot be read.
func unreadable(err error) string {
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		is := map[string]string{"array": "a list", "object": "an object", "bool": "true or false", "string": "a string"}[wrong.Value]
		must := map[reflect.Kind]string{reflect.String: "a string", reflect.Bool: "true or false", reflect.Slice: "a list"}[wrong.Type.Kind()]
		return fmt.Sprintf("%s is %s, must be %s", cmp.Or(wrong.Field, "it"), cmp.Or(is, "a number"), cmp.Or(must, "an object"))
	}
	switch {
	case errors.Is(err, io.EOF):
		return "it is empty"
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "its JSON breaks off"
	}
	return strings.TrimPrefix(err.Error(), "json: ")
}

// allowance lets so many messages pass in a minute, and half a minute's worth at once.
type allowance struct {
	left float64
	at   time.Time
}

// giveBack has a message not count that was taken.
func (a *allowance) giveBack() { a.left++ }

// take reports whether another message may pass.
func (a *allowance) take(perMinute int, now time.Time) bool {
	if a.at.IsZero() {
		a.left = float64(perMinute) / 2
	}
	a.left = min(a.left+now.Sub(a.at).Minutes()*float64(perMinute), float64(perMinute)/2)
	if a.at = now; a.left < 1 {
		return false
	}
	a.left--
	return true
}
