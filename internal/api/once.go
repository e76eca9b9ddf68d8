package api

import (
	"bytes"
	"context"
	"errors"
	"strings"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/wire"
)

func isConflict(err error) bool  { return errors.Is(err, seri.ErrConflict) }
func isDuplicate(err error) bool { return errors.Is(err, seri.ErrDuplicate) }
func isEnded(err error) bool     { return errors.Is(err, seri.ErrNotRevocable) }

// enqueueOnce enqueues a task under an Idempotency-Key; [Idempotency] says why in these steps.
func (s *server) enqueueOnce(ctx context.Context, key string, body []byte) (*enqueueOutput, error) {
	if p := s.checkIdempotencyKey(key); p != nil {
		return nil, p
	}
	name := idempotencyDigest(requestFrom(ctx).keyID, key)
	hash := digest(body)

	// The record comes before the checks: what was right then is answered the same now, though a time has
	// passed or a worker has gone.
	record, found, err := s.config.Idempotency.Find(ctx, name)
	if err != nil {
		return nil, s.fromError(ctx, "find an idempotency key", err)
	}
	if !found {
		m, p := s.decode(ctx, body, s.now())
		if p != nil {
			return nil, p
		}
		claim := IdempotencyRecord{Body: hash, Queue: m.Queue, ID: m.ID, At: s.now().UTC()}
		standing, claimed, err := s.config.Idempotency.Claim(ctx, name, claim)
		if err != nil {
			return nil, s.fromError(ctx, "claim an idempotency key", err)
		}
		if claimed {
			return s.enqueueClaimed(ctx, name, standing, true, m)
		}
		record = standing // another request with the key was quicker by an instant
	}

	if record.Body != hash {
		return nil, kindKeyReused.problem("the key was used with another body; it stands for that one, byte for byte, for 24 hours",
			newFault("header.Idempotency-Key", nil, "belongs to another body; use a fresh key"))
	}
	if record.Settled {
		return s.replay(ctx, record, body)
	}
	m, p := s.decode(ctx, body, record.At)
	if p != nil {
		return nil, p
	}
	m.ID, m.Queue = record.ID, record.Queue
	return s.enqueueClaimed(ctx, name, record, false, m)
}

// replay answers with the task of an earlier request: as it is now, or as it was accepted if it has been deleted since.
func (s *server) replay(ctx context.Context, record IdempotencyRecord, body []byte) (*enqueueOutput, error) {
	info, err := s.config.Tasks.Task(ctx, record.Queue, record.ID)
	if err == nil {
		return accepted(wire.NewTask(info), true), nil
	}
	if !errors.Is(err, seri.ErrNotFound) {
		return nil, s.fromError(ctx, "look at the task of an idempotency key", err)
	}
	terms, err := s.terms(ctx)
	if err != nil {
		return nil, s.fromError(ctx, "read the terms of task types", err)
	}
	m, _ := decodeTask(body, "body", record.At, terms) // without fault then, so without fault now
	m.ID, m.Queue = record.ID, record.Queue
	return accepted(acceptedTask(m, record.At), true), nil
}

// enqueueClaimed enqueues a task under the identity that its key's record holds.
func (s *server) enqueueClaimed(ctx context.Context, name string, record IdempotencyRecord, claimed bool, m seri.Message) (*enqueueOutput, error) {
	err := s.config.Tasks.Enqueue(ctx, m)
	if isConflict(err) && !claimed {
		// The claim is older than this request. If the task that stands there is the one asked for, the request that
		// claimed has enqueued it and died before it could settle, or is about to settle.
		if info, err := s.config.Tasks.Task(ctx, m.Queue, m.ID); err == nil && info.Type == m.Type && bytes.Equal(info.Payload, m.Payload) {
			s.settle(ctx, name, record)
			return accepted(wire.NewTask(info), true), nil
		}
	}
	if isConflict(err) || isDuplicate(err) {
		// Refused for a reason that may pass, or that another body would not have: the key stays free. Should a
		// request with the same key have enqueued the task in this instant, its Settle restores the record.
		if err := s.config.Idempotency.Release(ctx, name, record); err != nil {
			s.config.Logger.WarnContext(ctx, "idempotency key was not released", "error", err)
		}
	}
	if err != nil {
		return nil, s.refused(ctx, m, err)
	}
	s.settle(ctx, name, record)
	return accepted(acceptedTask(m, record.At), !claimed), nil
}

// settle may fail without harm to this answer: a repeat finds the claim open and the task there. It goes on when the
// client has gone, for then a repeat is likely.
func (s *server) settle(ctx context.Context, name string, record IdempotencyRecord) {
	ctx, cancel := storeContext(context.WithoutCancel(ctx))
	defer cancel()
	if err := s.config.Idempotency.Settle(ctx, name, record); err != nil {
		s.config.Logger.WarnContext(ctx, "idempotency key was not settled", "task_id", record.ID, "error", err)
	}
}

func (s *server) checkIdempotencyKey(key string) *Problem {
	message := ""
	switch {
	case s.config.Idempotency == nil:
		message = "is not supported by this server; give the task an id instead"
	case strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r > '~' }):
		message = "must consist of printable ASCII characters"
	default:
		return nil
	}
	return invalid([]Fault{newFault("header.Idempotency-Key", nil, message)})
}
