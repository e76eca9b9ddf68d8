// Package consumers remembers how far named consumers have acknowledged the events that they watch.
//
//	c, err := registry.Attach(ctx, "billing", filter)            // who begins to read
//	…
//	c, err = registry.Acknowledge(ctx, "billing", token, cursor) // what has been dealt with, up to that frame
//
// A consumer that comes back, to any gateway, gets everything after what it has acknowledged last: an event is delivered
// until it is acknowledged. With the event's id as the key by which the consumer leaves out what it has dealt with, in the
// transaction in which it deals with it, the effect is exactly once.
//
// # Guarantees
//
//   - What is acknowledged moves forward only, in each queue.
//   - The last who attached under a name is the one who reads and acknowledges; the token of whoever did before is refused.
//   - A name is about what it was about at first.
//   - There are at most 1,000 names, and each is remembered for thirty days after it has last read or acknowledged.
//
// Not promised: that what a consumer has not acknowledged is kept for it. Events are kept as long as the transport keeps them;
// if they are gone, a gap is announced. Names belong to nobody: whoever may watch everything may use each of them.
package consumers

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/events"
	"github.com/seri-queue/seri/internal/keys"
	"github.com/seri-queue/seri/internal/permit"
	"github.com/seri-queue/seri/internal/redisfault"
)

const (
	// life is how long a consumer is remembered that does nothing.
	life = 30 * 24 * time.Hour
	// most bounds how many are remembered.
	most = 1000
	// MaxName bounds the bytes of a name.
	MaxName = 128
)

var (
	//go:embed attach.lua
	attachSource string
	attach       = redis.NewScript(attachSource)
	//go:embed advance.lua
	advanceSource string
	advance       = redis.NewScript(advanceSource)
	//go:embed keep.lua
	keepSource string
	keep       = redis.NewScript(keepSource)
	//go:embed remove.lua
	removeSource string
	remove       = redis.NewScript(removeSource)
)

var (
	// ErrAbout refuses to attach to a name that is about something else.
	ErrAbout = errors.New("the consumer of this name watches something else: choose another name, or delete it")
	// ErrMany refuses to attach to a new name.
	ErrMany = fmt.Errorf("there are %d consumers, and no more may be: delete those that are not needed", most)
	// ErrName refuses a name.
	ErrName = fmt.Errorf("must have 1 to %d letters, digits, and characters of \"-_.:\", and begin with a letter or a digit", MaxName)
	// ErrTaken refuses who is not the last that has attached under a name.
	ErrTaken = errors.New("another has begun to read for the consumer")
)

var names = regexp.MustCompile(`^[A-Za-z0-9][-_.:A-Za-z0-9]{0,127}$`)

// CheckName returns [ErrName] if a name cannot be one of a consumer.
func CheckName(name string) error {
	if !names.MatchString(name) {
		return ErrName
	}
	return nil
}

// Registry is the consumers on one Redis.
type Registry struct{ rdb redis.UniversalClient }

// New returns the consumers on rdb.
func New(rdb redis.UniversalClient) *Registry { return &Registry{rdb} }

// Permitted returns an error that says what is missing if the Redis user may not do all that consumers take. It writes nothing.
func (r *Registry) Permitted(ctx context.Context) error {
	err := permit.Check(ctx, r.rdb, permit.Need{
		Scripts:  []string{attachSource, advanceSource, keepSource, removeSource},
		Keys:     keysOf("0"),
		Commands: [][]string{{"HGETALL", keys.Consumer("0")}},
	})
	if err != nil {
		return fmt.Errorf("consumers: %w", err)
	}
	return nil
}

func keysOf(name string) []string { return []string{keys.Consumer(name), keys.Consumers} }

// Consumer is what is known of one.
type Consumer struct {
	Name   string
	About  map[string]events.Filter // by the ID of each subscription; empty of the only one
	Token  uint64                   // of who attached last: greater than that of everyone before
	Cursor string                   // acknowledged, in the form that names queues; empty: nothing yet
	At     time.Time                // when the cursor was written last
}

// Resumable returns the cursor at which events that were not acknowledged begin; false if nothing was acknowledged yet.
func (c *Consumer) Resumable() (events.Cursor, bool) {
	at, err := events.ParseCursor(c.Cursor, "")
	return at, c.Cursor != "" && err == nil
}

// queue is the one that the cursors of the consumer's frames are about, as [events.ParseCursor] takes it.
func (c *Consumer) queue() string {
	if only, ok := c.About[""]; ok && len(c.About) == 1 {
		return only.Queue
	}
	return ""
}

// Attach makes the caller the one who reads under a name. It returns [ErrName], [ErrMany], and [ErrAbout] if the name is
// about something else.
func (r *Registry) Attach(ctx context.Context, name string, about map[string]events.Filter) (Consumer, error) {
	if err := CheckName(name); err != nil {
		return Consumer{}, fmt.Errorf("attach to consumer %.200q: %w", name, err)
	}
	text, err := json.Marshal(about) // maps are encoded in the order of their keys
	if err != nil {
		return Consumer{}, fmt.Errorf("attach to consumer %q: %w", name, err)
	}
	reply, err := attach.Run(ctx, r.rdb, keysOf(name), name, text, seconds(life), most).StringSlice()
	switch {
	case err != nil:
		return Consumer{}, fmt.Errorf("attach to consumer %q: %w", name, redisfault.Mark(err))
	case len(reply) == 1 && reply[0] == "about":
		return Consumer{}, ErrAbout
	case len(reply) == 1 && reply[0] == "many":
		return Consumer{}, ErrMany
	case len(reply) != 2:
		return Consumer{}, fmt.Errorf("attach to consumer %q: the script returned %v", name, reply)
	}
	token, err := strconv.ParseUint(reply[0], 10, 64)
	if err != nil {
		return Consumer{}, fmt.Errorf("attach to consumer %q: token: %w", name, err)
	}
	return Consumer{Name: name, About: about, Token: token, Cursor: reply[1]}, nil
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }

// Find returns what is known of a consumer, or [seri.ErrNotFound].
func (r *Registry) Find(ctx context.Context, name string) (Consumer, error) {
	var record struct {
		About  string `redis:"about"`
		Token  uint64 `redis:"token"`
		Cursor string `redis:"cursor"`
		At     int64  `redis:"at"`
	}
	if err := r.rdb.HGetAll(ctx, keys.Consumer(name)).Scan(&record); err != nil {
		return Consumer{}, fmt.Errorf("find consumer %q: %w", name, redisfault.Mark(err))
	}
	if record.About == "" {
		return Consumer{}, fmt.Errorf("consumer %q: %w", name, seri.ErrNotFound)
	}
	c := Consumer{Name: name, Token: record.Token, Cursor: record.Cursor}
	if record.At > 0 {
		c.At = time.UnixMilli(record.At)
	}
	if err := json.Unmarshal([]byte(record.About), &c.About); err != nil {
		return Consumer{}, fmt.Errorf("find consumer %q: what it is about: %w", name, err)
	}
	return c, nil
}

// Keep remembers a consumer for longer, and returns what is known of it. It returns [ErrTaken] if the token is not that of who
// reads, also where the consumer was forgotten meanwhile.
func (r *Registry) Keep(ctx context.Context, name string, token uint64) (Consumer, error) {
	kept, err := keep.Run(ctx, r.rdb, keysOf(name), name, strconv.FormatUint(token, 10), seconds(life)).Int()
	if err != nil {
		return Consumer{}, fmt.Errorf("keep consumer %q: %w", name, redisfault.Mark(err))
	}
	if kept == 0 {
		return Consumer{}, ErrTaken
	}
	return r.Find(ctx, name)
}

// Acknowledge notes that a consumer has dealt with everything up to a cursor, which a frame that it was sent bears. What is
// behind what it has acknowledged already changes nothing. It returns [seri.ErrNotFound] if nobody has attached under the
// name, [ErrTaken] if the token is not that of who attached last, and a [*CursorError].
func (r *Registry) Acknowledge(ctx context.Context, name string, token uint64, cursor string) (Consumer, error) {
	for {
		c, err := r.Find(ctx, name)
		if err != nil {
			return c, err
		}
		if c.Token != token {
			return c, ErrTaken
		}
		next, err := c.with(cursor)
		if err != nil {
			return c, err
		}
		if next == c.Cursor {
			return c, nil
		}
		at, err := advance.Run(ctx, r.rdb, keysOf(name), name, strconv.FormatUint(token, 10), c.Cursor, next, seconds(life)).Int64()
		if err != nil {
			return c, fmt.Errorf("acknowledge for consumer %q: %w", name, redisfault.Mark(err))
		}
		if at > 0 {
			c.Cursor, c.At = next, time.UnixMilli(at)
			return c, nil
		}
	}
}

// with returns the text of the later one of what was acknowledged and a cursor of a frame, queue by queue.
func (c *Consumer) with(cursor string) (string, error) {
	at, err := events.ParseCursor(cursor, c.queue())
	if err != nil {
		return "", &CursorError{err}
	}
	before, ok := c.Resumable()
	if c.Cursor != "" && !ok {
		return "", fmt.Errorf("consumer %q: what it has acknowledged is not a cursor: %.60q", c.Name, c.Cursor)
	}
	next := before.Latest(at).String()
	if _, err := events.ParseCursor(next, ""); err != nil { // with queues that it did not name before it may be too long
		return "", &CursorError{fmt.Errorf("with what was acknowledged before: %w", err)}
	}
	return next, nil
}

// CursorError tells what is wrong with a cursor that is to be acknowledged.
type CursorError struct{ Fault error }

// Error implements [error].
func (e *CursorError) Error() string { return e.Fault.Error() }

// Unwrap returns the fault.
func (e *CursorError) Unwrap() error { return e.Fault }

// Remove forgets a consumer: who reads under the name does no longer. It returns [seri.ErrNotFound] if there is none.
func (r *Registry) Remove(ctx context.Context, name string) error {
	n, err := remove.Run(ctx, r.rdb, keysOf(name), name).Int()
	if err != nil {
		return fmt.Errorf("remove consumer %q: %w", name, redisfault.Mark(err))
	}
	if n == 0 {
		return fmt.Errorf("consumer %q: %w", name, seri.ErrNotFound)
	}
	return nil
}
