package lock

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/pause"
	"github.com/seri-queue/seri/internal/redisfault"
)

var (
	//go:embed prelude.lua
	prelude string
	//go:embed acquire.lua
	acquireSource string
	//go:embed extend.lua
	extendSource string
	//go:embed release.lua
	releaseSource string
	//go:embed leave.lua
	leaveSource string
	//go:embed guard.lua
	guardSource string

	acquire = redis.NewScript(prelude + acquireSource)
	extend  = redis.NewScript(prelude + extendSource)
	release = redis.NewScript(prelude + releaseSource)
	leave   = redis.NewScript(prelude + leaveSource)
	guard   = redis.NewScript(guardSource)
)

const (
	attempts = 3                     // for a call whose reply was lost
	backoff  = 50 * time.Millisecond // before the second; twice that before the third
)

// answer is what a script says.
type answer struct {
	verdict int64
	number  uint64
	asked   time.Time // before the call that was answered: what it did was done later
}

// ask runs a script. A call whose reply was lost is repeated: a script that has done its work does not do it again.
func ask(ctx context.Context, rdb redis.UniversalClient, script *redis.Script, keys []string, args ...any) (answer, error) {
	for attempt := 1; ; attempt++ {
		asked := time.Now()
		reply, err := script.Run(ctx, rdb, keys, args...).Slice()
		if err == nil {
			return parse(reply, asked)
		}
		_, refused := errors.AsType[redis.Error](err)
		if refused || attempt == attempts || !pause.For(ctx, time.Duration(attempt)*backoff) {
			return answer{}, redisfault.Mark(err)
		}
	}
}

func parse(reply []any, asked time.Time) (answer, error) {
	if len(reply) != 2 {
		return answer{}, fmt.Errorf("unexpected reply %v", reply)
	}
	verdict, isNumber := reply[0].(int64)
	text, isText := reply[1].(string)
	number, err := strconv.ParseUint(text, 10, 63)
	if !isNumber || !isText || err != nil {
		return answer{}, fmt.Errorf("unexpected reply %v", reply)
	}
	return answer{verdict, number, asked}, nil
}
