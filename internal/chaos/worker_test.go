package chaos_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/worker"
)

// maxEvents keeps all events of a run: what was trimmed could not be checked.
const maxEvents = 5_000_000

// work plays a worker.
func (p part) work(ctx context.Context, on *stage) error {
	on.points.seen = func(script string, asked int64, cmd redis.Cmder) {
		if script == "extend" {
			noteExtensions(on.notes, asked, cmd)
		}
	}
	h := handlers{notes: on.notes, lease: p.Lease, register: newRegisterClient(p.Register)}
	queues := make(map[string]int)
	for _, q := range p.Queues {
		queues[q] = 1
	}
	w, err := worker.New(on.rdb, h.all(), worker.Config{
		Queues: queues, Slots: p.Slots, Lease: p.Lease, Grace: time.Second, MaxEvents: maxEvents,
		Logger: on.logger(),
	})
	if err != nil {
		return err
	}
	return w.Run(ctx)
}

// logger returns a log that also notes what [logged] names.
func (on *stage) logger() *slog.Logger {
	return slog.New(outcomes{slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}), on.notes})
}

// noteExtensions notes which leases a call of extend has moved forward. Its contract is in the script's header.
func noteExtensions(notes *ledger, asked int64, cmd redis.Cmder) {
	reply, ok := cmd.(*redis.Cmd)
	if !ok {
		return
	}
	values, err := reply.Slice()
	if err != nil || len(values)%3 != 0 {
		return
	}
	lost := make(map[int64]bool)
	for ; len(values) > 0; values = values[3:] {
		place, _ := values[0].(int64)
		lost[place] = values[1] == int64(0)
	}
	args := cmd.Args()[2:]
	n, _ := args[0].(int)
	keys, args := args[1:1+n], args[1+n:]
	prefix, _ := args[0].(string)
	for i, key := range keys[1:] {
		name, _ := key.(string)
		token, _ := args[2+2*i].(string)
		number, err := strconv.ParseUint(token, 10, 64)
		if err == nil && !lost[int64(i+1)] {
			notes.note(noteExtended, strings.TrimPrefix(name, prefix), number, strconv.FormatInt(asked, 10))
		}
	}
}

// outcomes is a log handler that notes what Redis has answered to a worker, and that a beat leads, which they log.
type outcomes struct {
	slog.Handler
	notes *ledger
}

var logged = map[string][2]string{
	"task succeeded":                      {noteAccepted, "succeeded"},
	"attempt failed":                      {noteAccepted, "retried"},
	"task ended":                          {noteAccepted, "archived"},
	"task handed back":                    {noteAccepted, "requeued"},
	"outcome refused: the lease was lost": {noteFenced, ""},
	"outcome not written: the task will run again": {noteUnsaid, ""},
	"attempt abandoned":                            {noteUnsaid, "abandoned"},
	"beat leads":                                   {noteLeads, ""},
}

// Enabled implements [slog.Handler]: successes are logged for debugging only.
func (o outcomes) Enabled(context.Context, slog.Level) bool { return true }

// WithAttrs implements [slog.Handler].
func (o outcomes) WithAttrs(attrs []slog.Attr) slog.Handler {
	return outcomes{o.Handler.WithAttrs(attrs), o.notes}
}

// Handle implements [slog.Handler].
func (o outcomes) Handle(ctx context.Context, r slog.Record) error {
	if l, ok := logged[r.Message]; ok {
		id, token := "none", uint64(0)
		r.Attrs(func(a slog.Attr) bool {
			switch a.Key {
			case "task_id":
				id = a.Value.String()
			case "token":
				token = a.Value.Uint64()
			}
			return true
		})
		o.notes.note(l[0], id, token, l[1])
	}
	if !o.Handler.Enabled(ctx, r.Level) {
		return nil
	}
	return o.Handler.Handle(ctx, r)
}

// The types of task. What they do with their time is what matters.
const (
	instant  = "instant"
	short    = "short"    // 20 to 200 ms, with progress, writes to the register
	long     = "long"     // longer than a lease, writes to the register
	flaky    = "flaky"    // fails the first time
	stubborn = "stubborn" // longer than a lease, and does not listen to its context
	poison   = "poison"   // ends its process
)

// secret stands in every payload and header, and must stand nowhere else.
const secret = "s3cr3t-m4rk3r"

type payload struct {
	Secret string        `json:"secret"`
	Take   time.Duration `json:"take"`
}

type handlers struct {
	notes    *ledger
	lease    time.Duration
	register *registerClient
}

func (h handlers) all() []seri.Handler {
	var all []seri.Handler
	for _, typ := range []string{instant, short, long, flaky, stubborn, poison} {
		all = append(all, seri.Handler{Type: typ, Run: func(ctx context.Context, body []byte) ([]byte, error) {
			e, _ := seri.ExecutionFrom(ctx)
			h.notes.note(noteStart, e.ID, e.Token, strconv.Itoa(e.Attempt))
			var p payload
			if err := json.Unmarshal(body, &p); err != nil {
				return nil, seri.Permanent(err)
			}
			err := h.run(ctx, typ, e, p.Take)
			how := "succeeded"
			if err != nil {
				how = "failed"
			}
			h.notes.note(noteEnd, e.ID, e.Token, how)
			return []byte(`{"done":true}`), err
		}})
	}
	return all
}

func (h handlers) run(ctx context.Context, typ string, e seri.Execution, take time.Duration) error {
	switch typ {
	case flaky:
		if e.Attempt == 1 {
			return seri.RetryAfter(errors.New("the first time it does not work"), 20*time.Millisecond+rand.N(50*time.Millisecond))
		}
	case poison:
		os.Exit(9)
	case short, long:
		h.register.write(e.ID, e.Token)
		for part := range 4 {
			select {
			case <-time.After(take / 4):
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			seri.Progress(ctx, int64(part+1), 4, "")
		}
		h.register.write(e.ID, e.Token)
	case stubborn:
		<-time.After(take)
		h.register.write(e.ID, e.Token)
	}
	return nil
}
