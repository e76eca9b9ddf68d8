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
	"unsafe"

	"github.com/gorilla/websocket"

	"github.com/seri-queue/seri/internal/events"
	"github.com/seri-queue/seri/internal/prefetch"
)

// peer is one WebSocket. Thousands of them are idle, so an idle one is this and a descriptor, and no more: no goroutine, no
// buffers, no timer, no context. Whatever is to be done is done in turns, one at a time, by the [crew]: when the client has
// said something, which the [watch] sees, the hub has events, the alarm rings, or the gateway stops.
type peer struct {
	// What each turn looks at comes first, close together: of thousands who are told something, each is fetched from far away.
	g       *Gateway
	line    line          // only a turn hangs up: so a turn may use it as it is
	state   atomic.Uint32 // of the turns
	arrival atomic.Uint32 // what the watch has seen
	alarm   atomic.Int64  // the moment when it rings; 0: it will not. Only turns set it, and what rings clears it

	// The turn's.
	worker  *worker              // who takes it
	stream  *events.Subscription // nil: nothing was asked for yet
	held    *attachment          // the consumer for whom the peer reads; nil: none
	tails   *tails
	until   int64  // when the first of the grants ends, in Unix milliseconds; 0: none does
	expires moment // the same, by what the clock has last shown: it may be set
	asked   moment // since when nothing is asked for, if that is so
	heard   moment // when the client last gave a sign of life
	spoken  moment // when something was last sent
	pinged  moment
	rested  moment // when the stream's cursor was last moved up to the hub's
	ending  bool   // a close frame was sent; only the client's is waited for
	deaf    bool   // what the client sends is not understood any more
	asking  bool   // by a ping that was not answered yet
	over    bool   // and so is the connection

	plain bool // the client has said by its URL what it wants, and is to say nothing more
	// fleeting: at most once, so a client that reads slowly is told how much it has missed, and is not cut.
	fleeting bool

	bell alarm // the alarms', under their lock

	incoming *incoming // the turn's: of a message that is on its way; nil: none is
	grants   []grant   // the turn's
	rate     allowance // the turn's
	visit    visit
	page     page
}

// moment is the time since the gateway was made, whatever the clock is set to.
type moment = time.Duration

func (g *Gateway) moment() moment { return time.Since(g.born) }

// A peer's states: at rest, its turn gives way to others, waits for a worker, is taken, and is taken and there is more to do.
const (
	resting = iota
	deferred
	queued
	taken
	takenAndMore
)

// What the watch has seen: that there is something to read, the end of what the client says, and that it cannot watch.
const (
	readable = 1 << iota
	hungUp
	broken
)

// start begins to serve a peer over a connection, which is the peer's from then on; its visit ends with it.
func (p *peer) start(conn net.Conn) (err error) {
	if p.line, err = takeOver(conn); err != nil {
		return err
	}
	// Both are wishes: a slow client is found out later, and one that has vanished is asked more often than by pings.
	_ = syscall.SetsockoptInt(p.line.fd, syscall.SOL_SOCKET, syscall.SO_SNDBUF, sendBuffer)
	_ = syscall.SetsockoptInt(p.line.fd, syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 0)
	now := p.g.moment()
	p.asked, p.heard, p.spoken, p.pinged, p.rested = now, now, now, now, now
	p.state.Store(queued) // until all is there, nobody takes a turn: it might hang up what is about to be watched
	p.g.register(p)
	if p.stream != nil {
		p.stream.Notify(p)
	}
	if err := p.g.watch.add(p); err != nil {
		p.g.cfg.Logger.Error("could not watch a WebSocket", "error", err)
		p.arrive(broken)
	}
	p.g.crew.add(p)
	return nil
}

// arrive has a turn be taken for what the watch has seen. It may be called with locks held.
func (p *peer) arrive(seen uint32) {
	p.arrival.Or(seen)
	p.Wake()
}

// Wake implements [events.Waker]: there may be something to do.
func (p *peer) Wake() {
	for {
		switch state := p.state.Load(); state {
		case resting, deferred:
			if p.state.CompareAndSwap(state, queued) {
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

// wakeLater is Wake for what may give way to the turns of others.
func (p *peer) wakeLater() {
	for {
		switch p.state.Load() {
		case resting:
			if p.state.CompareAndSwap(resting, deferred) {
				p.g.crew.addLater(p)
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

// prefetch has what each turn looks at be fetched.
func (p *peer) prefetch() { prefetch.First(p, unsafe.Offsetof(p.bell)) }

// take takes a turn.
func (p *peer) take(w *worker) {
	p.worker, w.at = w, p.g.moment()
	p.turn()
	p.worker = nil
	w.emptied()
	w.room.Clear()
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
	arrived := p.arrival.Swap(0)
	switch {
	case arrived&broken != 0:
		p.end(errGone)
	case p.ending: // who cuts a connection before the client has answered may lose what is on its way
		if p.now()-p.spoken >= lastWords || p.receive(context.Background(), arrived) != nil {
			p.close()
		}
	default:
		err := p.work(arrived)
		if err == nil {
			err = p.flush()
		}
		if err != nil {
			p.end(err)
		} else {
			p.ringAt(p.due())
		}
	}
}

// work does what there is to do.
func (p *peer) work(arrived uint32) error {
	ctx := p.g.life
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := p.expire(); err != nil { // before what is asked for by what is over
		return err
	}
	if err := p.receive(ctx, arrived); err != nil {
		return err
	}
	if p.worker.away { // that has taken its time
		if err := p.expire(); err != nil {
			return err
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
func (p *peer) receive(ctx context.Context, arrived uint32) (err error) {
	if arrived == 0 {
		return nil
	}
	in := p.incoming
	if in == nil {
		in = &p.worker.rest
	}
	defer p.remember(in)
	const rounds = 8
	for range rounds {
		b, err := p.line.receive(p.worker.in)
		if err != nil {
			return fmt.Errorf("%w: %w", errGone, err)
		}
		if len(b) > 0 && !p.deaf {
			if err := in.take(b, func(kind int, payload []byte) error { return p.got(ctx, kind, payload) }); err != nil {
				_, p.deaf = errors.AsType[*brokenError](err) // nobody knows where the next frame begins
				p.arrive(arrived)                            // what is left is not told again
				return err
			}
		}
		if len(b) == 0 || len(b) < readSize && arrived&hungUp == 0 { // what comes later is told
			return nil
		}
	}
	p.arrive(arrived)
	return nil
}

// remember keeps what is on its way until the next turn. Mostly that is nothing.
func (p *peer) remember(in *incoming) {
	switch {
	case in.whole():
		p.incoming = nil
	case p.incoming == nil:
		p.incoming = new(*in)
	}
	p.worker.rest = incoming{}
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
		frames, more, err := p.stream.Poll(ctx, &p.worker.room, p.worker.slow)
		if err != nil {
			return err
		}
		p.sent(frames)
		if err := p.send(frames...); err != nil {
			return err
		}
		switch {
		case !more:
			return nil
		case len(frames) == 0: // what was read is about something else, and the client waits
			p.Wake()
			p.noteRest()
			if !p.plain { // if it is cut now, it goes on where it has come to
				return p.sayAlive()
			}
			return nil
		case p.worker.away: // it takes long: what else is due gets its turn in between
			p.Wake()
			return nil
		}
	}
	p.Wake()
	return nil
}

// due returns when there is something to do though nothing has come.
func (p *peer) due() moment {
	next := min(p.nextPing(), p.lost())
	if at, owed := p.nextSign(); owed {
		next = min(next, at)
	}
	if p.until != 0 {
		next = min(next, p.expires)
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

// nextSign is when the client is told that nothing has come: a page sees no pings. Who is plain, or watches nothing, is not.
func (p *peer) nextSign() (at moment, owed bool) {
	return p.spoken + p.g.cfg.Ping, !p.plain && !p.silent()
}

// nextPing is when the client is to be pinged. What is sent to it keeps the connection open as well as a ping, and those who have
// just been told something are many when there is the most to do; but a client that says nothing is asked in time whether it
// is there.
func (p *peer) nextPing() moment {
	every := p.g.cfg.Ping
	return max(p.pinged+every, min(p.spoken+every, p.heard+every*3/2))
}

// lost is when the client counts as gone, unless it gives a sign of life before.
func (p *peer) lost() moment { return p.heard + p.g.silence() }

// beat pings, and says where the stream is if it has been silent.
func (p *peer) beat() error {
	now := p.now()
	if p.stream != nil && now-p.rested >= p.g.cfg.Ping { // an old cursor is of an entry that is trimmed away some day
		p.rested = now
		p.stream.Rest()
		p.noteRest()
	}
	switch {
	case p.silent() && now-p.asked >= p.g.cfg.Patience:
		return errIdle
	case now >= p.lost() && p.arrival.Load() == 0: // or it has spoken while others were slow
		return errGone
	case now >= p.nextPing():
		p.pinged, p.asking = now, true
		p.worker.out = appendFrame(p.worker.out, websocket.PingMessage, nil)
	}
	if at, owed := p.nextSign(); owed && now >= at {
		return p.sayAlive()
	}
	return nil
}

// ringAt has a turn taken at a moment, unless one is taken before: then it will be seen again what is due.
func (p *peer) ringAt(at moment) {
	if !p.g.alarms.putOff(p, at) {
		p.g.alarms.set(p, at)
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
	sent, err := p.line.send(w.out)
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

// write waits until the kernel has taken all of b, for as long as the client may take.
func (p *peer) write(b []byte) error {
	timeout, life := p.g.cfg.WriteTimeout, p.g.life.Done()
	if p.ending {
		timeout, life = min(timeout, lastWords), nil
	}
	room, done := p.g.watch.room(p.line)
	defer done()
	tooLong := time.NewTimer(timeout)
	defer tooLong.Stop()
	for progress := false; ; {
		n, err := p.line.send(b)
		if err != nil {
			return err
		}
		if b = b[n:]; len(b) == 0 {
			break
		}
		progress = progress || n > 0
		select {
		case <-room:
		case <-life: // there is not so much time any more
			life = nil
			tooLong.Reset(min(timeout, lastWords))
		case <-tooLong.C:
			if !p.mayTakeLonger(progress) {
				return os.ErrDeadlineExceeded
			}
			progress = false
			tooLong.Reset(timeout)
		}
	}
	if p.fleeting {
		p.heard = p.g.moment() // there was no room before, so the client has read something
	}
	return nil
}

// mayTakeLonger decides after a write that was not done in time. A client that is to lose events rather than be cut has for as
// long as it may be silent, and what it reads is a sign of life.
func (p *peer) mayTakeLonger(progress bool) bool {
	if progress {
		p.heard = p.g.moment()
	}
	return p.fleeting && !p.ending && p.g.life.Err() == nil && p.g.moment() < p.lost()
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
	p.spoken = p.g.moment()
	p.g.alarms.set(p, p.spoken+lastWords)
}

// close ends the peer: nothing is left of it.
func (p *peer) close() {
	p.over = true
	p.g.watch.hangUp(p)
	p.g.alarms.stop(p)
	p.g.unregister(p)
	p.visit.leave()
}
