package redisurl

import (
	"context"
	"strings"

	"github.com/redis/go-redis/v9"
)

// runOnce is a hook for clients of a cluster, which repeat a command whose answer was lost although MaxRetries is off:
// they count such repeats as redirections. It marks scripts as not to be repeated; commands other than scripts are left
// alone, because some of them (FLUSHALL, DBSIZE) are spread over all nodes by their concrete type.
type runOnce struct{}

func (runOnce) DialHook(next redis.DialHook) redis.DialHook { return next }

func (runOnce) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		return next(ctx, onlyOnce(cmd))
	}
}

func (runOnce) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		marked := make([]redis.Cmder, len(cmds))
		for i, cmd := range cmds {
			marked[i] = onlyOnce(cmd)
		}
		return next(ctx, marked)
	}
}

func onlyOnce(cmd redis.Cmder) redis.Cmder {
	if name := cmd.Name(); strings.HasPrefix(name, "eval") || strings.HasPrefix(name, "fcall") {
		return unrepeatable{cmd}
	}
	return cmd
}

// unrepeatable is a command that go-redis sends at most once.
type unrepeatable struct{ redis.Cmder }

func (unrepeatable) NoRetry() bool { return true }
