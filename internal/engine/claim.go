package engine

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/keys"
)

// claimEvery is how often a call whose reply was lost is asked about.
const claimEvery = time.Second

// unheard is a call of which it is not known whether it leased tasks, and which Redis may carry out even later, when it
// comes to the connection's buffer: it is asked about for as long as its leases would last.
type unheard struct {
	nonce       string
	next, until time.Time
}

// doubt remembers a call that may have leased tasks although it returned err.
func (f *fetcher) doubt(q keys.Queue, nonce string, err error) {
	if _, answered := errors.AsType[redis.Error](err); !answered {
		f.unheard[q] = append(f.unheard[q], unheard{nonce: nonce, until: time.Now().Add(f.engine.Lease)})
	}
}

// claim returns the attempts of leases that were granted by calls whose replies were lost. Without it, such tasks would
// belong to nobody until their leases run out, and count a crash. There may be more than there is room for.
func (f *fetcher) claim(ctx context.Context, q keys.Queue) (claimed [][]*attempt) {
	left := f.unheard[q][:0]
	for _, call := range f.unheard[q] {
		asked := time.Now()
		if asked.Before(call.next) {
			left = append(left, call)
			continue
		}
		batch, err := f.engine.store.Claim(context.WithoutCancel(ctx), q, call.nonce, f.engine.Lease)
		if err != nil && ctx.Err() == nil {
			f.logger.WarnContext(ctx, "leases not claimed", "queue", q, "error", err)
		}
		if len(batch.Leases) > 0 {
			f.logger.WarnContext(ctx, "claimed tasks that were leased in a reply that was lost", "queue", q, "count", len(batch.Leases))
			claimed = append(claimed, f.receive(batch, asked))
		} else if asked.Before(call.until) {
			call.next = asked.Add(claimEvery)
			left = append(left, call)
		}
	}
	f.unheard[q] = left
	return claimed
}
