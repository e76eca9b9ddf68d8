package floor

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
)

// errRecorded is what the store gets for a call that was kept and not sent.
var errRecorded = errors.New("recorded, not sent")

// call is a call of the store that waits for its reply.
type call struct {
	args   chan []any
	answer chan any
	done   chan error
}

type callKey struct{}

// record lets the store make a call, keeps it from being sent, and returns it encoded. The store waits until finish.
func record(ctx context.Context, do func(context.Context) error) (*call, []byte, error) {
	c := &call{args: make(chan []any, 1), answer: make(chan any, 1), done: make(chan error, 1)}
	go func() { c.done <- do(context.WithValue(ctx, callKey{}, c)) }()
	select {
	case args := <-c.args:
		command, err := encode(args)
		return c, command, err
	case err := <-c.done:
		return nil, nil, fmt.Errorf("record a call: the store made none: %w", err)
	}
}

// finish gives the store its reply, and returns what it makes of it.
func (c *call) finish(answer any) error {
	c.answer <- answer
	return <-c.done
}

// drop ends a call whose reply is of no interest.
func (c *call) drop() { _ = c.finish(errRecorded) } // the error is the one that was just given

// recorder is the hook that does it. Calls that are not recorded pass.
type recorder struct{}

func (recorder) DialHook(next redis.DialHook) redis.DialHook { return next }

func (recorder) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		c, _ := ctx.Value(callKey{}).(*call)
		reply, isScript := cmd.(*redis.Cmd)
		if c == nil || !isScript || !strings.HasPrefix(cmd.Name(), "evalsha") {
			return next(ctx, cmd)
		}
		c.args <- cmd.Args()
		answer := <-c.answer
		if err, isError := answer.(error); isError {
			cmd.SetErr(err)
			return err
		}
		reply.SetVal(answer)
		return nil
	}
}

func (recorder) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
