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

	for { // again when the record changes between two looks; ctx bounds it
		// The record comes before the checks: what was right then is answered the same now, though a time has
		// passed or a worker has gone.
		record, found, err := s.config.Idempotency.Find(ctx, name)
		if err != nil {
			return nil, s.fromError(ctx, "find an idempotency key", err)
		}
		if !found && s.config.Full() {
			return nil, storeFull()
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
				return s.enqueueClaimed(ctx, name, standing, true, body, m)
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
		if !record.Shared {
			shared, err := s.config.Idempotency.Share(ctx, name, record)
			if err != nil {
				return nil, s.fromError(ctx, "share an idempotency key", err)
			}
			if !shared {
				continue // settled, released, or shared by a third request
			}
			record.Shared = true
		}
		m.ID, m.Queue = record.ID, record.Queue
		return s.enqueueClaimed(ctx, name, record, false, body, m)
	}
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
	return accepted(s.acceptedTask(m, record.At), true), nil
}

// enqueueClaimed enqueues a task under the identity that its key's record holds. claimed: by this very request.
func (s *server) enqueueClaimed(ctx context.Context, name string, record IdempotencyRecord, claimed bool, body []byte, m seri.Message) (*enqueueOutput, error) {
	err := s.config.Tasks.Enqueue(ctx, m)
	switch {
	case err == nil:
		s.settle(ctx, name, record)
		return accepted(s.acceptedTask(m, record.At), !claimed), nil
	case isConflict(err) && !newObject(body, "body").has("id"):
		// The ID is a random one that nobody outside of the record has seen, so the task is the key's own: a repeat
		// was quicker than the request that claimed, or that one has died before it could settle.
		s.settle(ctx, name, record)
		return s.replay(ctx, record, body)
	case isConflict(err) || isDuplicate(err):
		return s.enqueueRefused(ctx, name, record, claimed, body, m, err)
	}
	return nil, s.refused(ctx, m, err)
}

// enqueueRefused answers when a task stands in the way that may be a foreign one or the key's own, enqueued by another
// request under the same claim.
func (s *server) enqueueRefused(ctx context.Context, name string, record IdempotencyRecord, claimed bool, body []byte, m seri.Message, refusal error) (*enqueueOutput, error) {
	if claimed {
		// Refused for a reason that may pass, or that another body would not have: the key is free again. It is released
		// only if nobody shares the claim, and then nobody else has enqueued under it, so the task is a foreign one.
		released, err := s.config.Idempotency.Release(ctx, name, record)
		if err != nil {
			s.config.Logger.WarnContext(ctx, "idempotency key was not released", "error", err)
		}
		if released {
			return nil, s.refused(ctx, m, refusal)
		}
	}

	// A shared claim stays, bound to its body, because one of those who share it may be about to enqueue.
	info, err := s.config.Tasks.Task(ctx, m.Queue, m.ID)
	if err == nil && info.Type == m.Type && bytes.Equal(info.Payload, m.Payload) {
		s.settle(ctx, name, record)
		return accepted(wire.NewTask(info), true), nil
	}
	standing, found, err := s.config.Idempotency.Find(ctx, name)
	if err == nil && found && standing.Settled && standing.Body == record.Body {
		return s.replay(ctx, standing, body) // another request's task, which has come and gone
	}
	return nil, s.refused(ctx, m, refusal)
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
