package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gorilla/websocket"

	"github.com/seri-queue/seri/internal/events"
)

// peer is one WebSocket. Thousands of them are idle, so an idle one is a goroutine that waits, on the smallest of stacks, for
// something to read, and no more: no buffers, no second goroutine, no context. Whatever is to be done is done in turns, one at
// a time, by the [crew]: when the client has said something, the hub has events, the alarm rings, or the gateway stops.
type peer struct {
	g     *Gateway
	conn  net.Conn
	raw   syscall.RawConn // of conn
	fd    int             // of conn, which only a turn closes: so a turn may use it as it is
	visit visit
	page  page
	plain bool // the client has said by its URL what it wants, and is to say nothing more
	// fleeting: at most once, so a client that reads slowly is told how much it has missed, and is not cut.
	fleeting bool

	state   atomic.Uint32
	arrival atomic.Uint32 // what has come of waiting for something to read

	// The turn's.
	worker   *worker              // who takes it
	stream   *events.Subscription // nil: nothing was asked for yet
	held     *attachment          // the consumer for whom the peer reads; nil: none
	tails    *tails
	grants   []grant
	until    int64     // when the first of them ends, in Unix milliseconds; 0: none does
	incoming *incoming // of a message that is on its way; nil: none is
	rate     allowance
	asked    moment // since when nothing is asked for, if that is so
	heard    moment // when the client last gave a sign of life
	spoken   moment // when something was last sent
	pinged   moment
	timer    *time.Timer
	alarm    moment // when the timer will fire; 0: it will not
	waiting  bool   // a goroutine waits for something to read
	ending   bool   // a close frame was sent; only the client's is waited for
	deaf     bool   // what the client sends is not understood any more
	asking   bool   // by a ping that was not answered yet
	closed   bool   // and so is the connection
	over     bool
}

// moment is the time since the gateway was made, whatever the clock is set to.
type moment = time.Duration

func (g *Gateway) moment() moment { return time.Since(g.born) }

// A peer's states: at rest, its turn waits for a worker, a worker takes it, and it is taken and there is more to do.
const (
	resting = iota
	queued
	taken
	takenAndMore
)

// What comes of waiting: nothing yet, something to read, or the connection's end.
const (
	nothing = iota
	readable
	broken
)

// start begins to serve a peer over a connection; its visit ends with it.
func (p *peer) start(conn net.Conn) error {
	p.conn = conn
	plain, ok := conn.(syscall.Conn)
	if !ok {
		return fmt.Errorf("a WebSocket cannot be served over a %T: let TLS end in front", conn)
	}
	raw, err := plain.SyscallConn()
	if err != nil {
		return err
	}
	p.raw = raw
	if err := raw.Control(func(fd uintptr) { p.fd = int(fd) }); err != nil {
		return err
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetWriteBuffer(sendBuffer) // a wish; without it a slow client is found out later
	}
	now := p.g.moment()
	p.asked, p.heard, p.spoken, p.pinged = now, now, now, now
	p.g.register(p)
	if p.stream != nil { // from here on a worker may take a turn, so all must be there
		p.stream.Notify(p)
	}
	p.Wake()
	return nil
}

// wait waits until there is something to read. Then a turn reads it, so the stack on which thousands wait stays small.
func (p *peer) wait() {
	defer p.g.streams.Done()
	if p.raw.Read(isReadable) == nil {
		p.arrival.Store(readable)
	} else {
		p.arrival.Store(broken)
	}
	p.Wake()
}

// Wake implements [events.Waker]: there may be something to do.
func (p *peer) Wake() {
	for {
		switch p.state.Load() {
		case resting:
			if p.state.CompareAndSwap(resting, queued) {
				p.g.crew.add(p)
				return
			}
		case taken:
			if p.state.CompareAndSwap(taken, takenAndMore) {
				return
			}
		default:
			return
		}
	}
}

// take takes a turn.
func (p *peer) take(w *worker) {
	p.state.Store(taken)
	p.worker, w.at = w, p.g.moment()
	p.turn()
	p.worker = nil
	w.emptied()
	if !p.state.CompareAndSwap(taken, resting) {
		p.state.Store(queued)
		p.g.crew.add(p)
	}
}

// now is when the turn has begun, or the present moment if it has taken its time since: clocks are read a million times a second.
func (p *peer) now() moment {
	if p.worker.away {
		return p.g.moment()
	}
	return p.worker.at
}

func (p *peer) turn() {
	if p.over {
		return
	}
	arrived := p.arrival.Swap(nothing)
	if arrived != nothing {
		p.waiting = false
	}
	rings := p.alarm != 0 && p.now() >= p.alarm
	if rings {
		p.alarm = 0
	}
	switch {
	case p.closed:
	case arrived == broken:
		p.end(errGone)
	case p.ending: // who cuts a connection before the client has answered may lose what is on its way
		if rings || arrived == readable && p.receive(context.Background()) != nil {
			p.close()
		}
	default:
		err := p.work(arrived == readable)
		if err == nil {
			err = p.flush()
		}
		if err != nil {
			p.end(err)
		} else {
			p.ringAt(p.due())
		}
	}
	switch {
	case p.closed && !p.waiting:
		p.finish()
	case !p.closed && !p.waiting:
		p.waiting = true
		p.g.streams.Add(1)
		go p.wait()
	}
}

// work does what there is to do.
func (p *peer) work(toRead bool) error {
	ctx := p.g.life
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := p.expire(); err != nil { // before what is asked for by what is over
		return err
	}
	if toRead {
		if err := p.receive(ctx); err != nil {
			return err
		}
		if p.worker.away { // that has taken its time
			if err := p.expire(); err != nil {
				return err
			}
		}
	}
	if err := p.attend(ctx); err != nil {
		return err
	}
	if err := p.deliver(ctx); err != nil {
		return err
	}
	if err := p.tellNews(); err != nil {
		return err
	}
	return p.beat()
}

// receive reads what the client has sent, or some of it: there are others.
func (p *peer) receive(ctx context.Context) error {
	in := p.incoming
	if in == nil {
		in = new(incoming)
	}
	const rounds = 8
	for range rounds {
		b, err := p.worker.receive(p.fd)
		if err != nil {
			return fmt.Errorf("%w: %w", errGone, err)
		}
		if len(b) == 0 {
			break
		}
		if p.deaf {
			continue
		}
		if err := in.take(b, func(kind int, payload []byte) error { return p.got(ctx, kind, payload) }); err != nil {
			p.incoming = in
			_, p.deaf = errors.AsType[*brokenError](err) // nobody knows where the next frame begins
			return err
		}
	}
	if p.incoming = in; in.whole() {
		p.incoming = nil
	}
	return nil
}

// closedError is the client's close frame.
type closedError struct{ code int }

func (e *closedError) Error() string {
	return fmt.Sprintf("the client has closed, with code %d", e.code)
}

// got takes what a client has sent.
func (p *peer) got(ctx context.Context, kind int, payload []byte) error {
	switch {
	case kind == websocket.CloseMessage:
		code, err := closeCode(payload)
		if err != nil {
			return err
		}
		return &closedError{code}
	case p.ending:
		return nil
	case kind == websocket.PongMessage && p.asking:
		p.asking = false
	case !p.rate.take(p.g.cfg.Messages, p.g.now()):
		return errRate
	case kind == websocket.PongMessage: // of the client's own accord
	case kind == websocket.PingMessage:
		p.worker.out = appendFrame(p.worker.out, websocket.PongMessage, payload)
	case p.plain:
		return errUnexpected
	default:
		p.worker.slow()
		if err := p.hear(ctx, payload); err != nil {
			return err
		}
	}
	p.heard = p.now()
	return nil
}

// deliver sends what the stream has, or some of it: others want their turns.
func (p *peer) deliver(ctx context.Context) error {
	if p.stream == nil {
		return nil
	}
	const rounds = 16
	for range rounds {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		frames, err := p.stream.Poll(ctx, p.worker.slow)
		if err != nil {
			return err
		}
		p.sent(frames)
		if err := p.send(frames...); err != nil {
			return err
		}
		if len(frames) > 0 {
			if p.worker.away { // it takes long: what else is due gets its turn in between
				break
			}
			continue
		}
		if p.stream.Behind() {
			p.Wake()
			p.rested()
			if !p.plain { // if it is cut now, it goes on where it has come to
				return p.sayAlive()
			}
		}
		return nil
	}
	p.Wake()
	return nil
}

// due returns when there is something to do though nothing has come.
func (p *peer) due() moment {
	next := min(p.pinged+p.g.cfg.Ping, p.lost())
	if p.until != 0 { // by the clock, which may be set meanwhile
		next = min(next, p.now()+time.UnixMilli(p.until).Sub(p.g.now()))
	}
	if p.silent() {
		next = min(next, p.asked+p.g.cfg.Patience)
	}
	if p.held != nil {
		next = min(next, p.held.due)
	}
	return next
}

// silent reports whether nothing is asked for: not yet, or no more.
func (p *peer) silent() bool { return p.stream == nil && p.tails.len() == 0 }

// lost is when the client counts as gone, unless it gives a sign of life before.
func (p *peer) lost() moment { return p.heard + p.g.silence() }

// beat pings, and says where the stream is if it has been silent: a page sees no pings, and an old cursor is of an entry
// that is trimmed away some day.
func (p *peer) beat() error {
	now := p.now()
	switch {
	case p.silent() && now-p.asked >= p.g.cfg.Patience:
		return errIdle
	case now >= p.lost() && p.arrival.Load() != readable: // or it has spoken while others were slow
		return errGone
	case now-p.pinged < p.g.cfg.Ping:
		return nil
	}
	silent := now-p.spoken >= p.g.cfg.Ping
	p.pinged, p.asking = now, true
	p.worker.out = appendFrame(p.worker.out, websocket.PingMessage, nil)
	if p.stream != nil {
		p.stream.Rest()
		p.rested()
	}
	if silent && !p.silent() && !p.plain {
		return p.sayAlive()
	}
	return nil
}

// ringAt has a turn taken at a moment, unless one is taken before: then it will be seen again what is due.
func (p *peer) ringAt(at moment) {
	if p.alarm != 0 && p.alarm <= at {
		return
	}
	p.alarm = at
	wait := max(0, at-p.g.moment())
	if p.timer == nil {
		p.timer = time.AfterFunc(wait, p.Wake)
	} else {
		p.timer.Reset(wait)
	}
}

// send gathers frames, and sends them when there are many.
func (p *peer) send(frames ...events.Frame) error {
	if len(frames) > 0 {
		p.spoken = p.now()
	}
	for _, f := range frames {
		if len(p.worker.out)+len(f.JSON) > maxOut {
			if err := p.flush(); err != nil {
				return err
			}
			if err := context.Cause(p.g.life); err != nil {
				return err
			}
		}
		p.worker.out = appendFrame(p.worker.out, websocket.TextMessage, f.JSON)
	}
	return nil
}

// flush sends what was gathered. A client that does not take it within the timeout is gone; one to which the gateway has to
// say farewell has less time.
func (p *peer) flush() error {
	w := p.worker
	if len(w.out) == 0 {
		return nil
	}
	defer w.emptied()
	sent, err := w.send(p.fd)
	if err != nil {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	if sent == len(w.out) {
		return nil
	}
	w.slow()
	if err := p.write(w.out[sent:]); err != nil {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	return nil
}

// write waits until the kernel has taken something, for as long as the client may take.
func (p *peer) write(b []byte) error {
	timeout := p.g.cfg.WriteTimeout
	if p.ending {
		timeout = min(timeout, lastWords)
	}
	for {
		n, err := p.writeWithin(timeout, b)
		if err == nil {
			break
		}
		if b = b[n:]; !p.mayTakeLonger(n > 0, err) {
			return err
		}
	}
	if p.fleeting {
		p.heard = p.g.moment() // there was no room before, so the client has read something
	}
	return p.conn.SetWriteDeadline(time.Time{})
}

func (p *peer) writeWithin(timeout time.Duration, b []byte) (int, error) {
	if err := p.conn.SetWriteDeadline(time.Now().Add(timeout)); err != nil {
		return 0, err
	}
	if !p.ending {
		hurry := func() { p.conn.SetWriteDeadline(time.Now().Add(min(timeout, lastWords))) } // if it fails, the connection is closed
		defer context.AfterFunc(p.g.life, hurry)()
	}
	return p.conn.Write(b)
}

// mayTakeLonger decides after a write that was not done in time. A client that is to lose events rather than be cut has for as
// long as it may be silent, and what it reads is a sign of life.
func (p *peer) mayTakeLonger(progress bool, err error) bool {
	if progress {
		p.heard = p.g.moment()
	}
	return p.fleeting && !p.ending && errors.Is(err, os.ErrDeadlineExceeded) && p.g.life.Err() == nil && p.g.moment() < p.lost()
}

// lastWords is how long a close frame may take, and the client's answer to it.
const lastWords = time.Second

// end tells the client why the connection ends. It ends when the client has answered, or has had the time for it.
func (p *peer) end(err error) {
	p.ending = true
	if p.stream != nil {
		p.stream.Close()
	}
	if p.tails != nil {
		p.worker.slow()
		p.tails.close()
	}
	code, reason := p.g.farewell(err)
	if code == 0 {
		p.close()
		return
	}
	p.worker.out = appendFrame(p.worker.out, websocket.CloseMessage, websocket.FormatCloseMessage(code, reason))
	_, answers := errors.AsType[*closedError](err)
	if p.flush() != nil || answers {
		p.close()
		return
	}
	p.alarm = 0
	p.ringAt(p.g.moment() + lastWords)
}

func (p *peer) close() {
	p.closed = true
	p.conn.Close() // there is nobody to tell if this fails
}

// finish ends the peer, whose connection is closed: nothing is left of it.
func (p *peer) finish() {
	p.over = true
	if p.timer != nil {
		p.timer.Stop()
	}
	p.g.unregister(p)
	p.visit.leave()
}
