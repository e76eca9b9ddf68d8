package model

import "fmt"

// steps calls take with everything that can happen next.
func (p Protocol) steps(w world, take func(step string, to world)) {
	p.grant(w, take)
	p.send(w, take)
	p.deliver(w, take)
	p.recover(w, take)
	if int(w.now) < p.Time {
		to := w
		to.now++
		take("the clock moves on", to)
	}
	if w.primary != w.replica {
		to := w
		to.replica = to.primary
		take("the replica catches up", to)
		p.failOver(w, take)
	}
}

// grant hands the task out. Whether the answer arrives does not matter: a worker that never hears of its lease does what a
// dead one does.
func (p Protocol) grant(w world, take func(string, world)) {
	if w.primary.state != pending || int(w.handed) >= p.Leases {
		return
	}
	to := w
	number := to.handed + 1
	token := to.primary.token + 1
	if p.Clock {
		// What time it is in tokens: between two steps of the clock there is room for every lease.
		token = max(token, to.now*mostLeases+1)
	}
	to.leases[number-1] = lease{token: token, nonce: number}
	to.handed = number
	to.primary.state, to.primary.token, to.primary.nonce = active, token, number
	to.primary.until, to.primary.holder = to.now+1, number
	take(fmt.Sprintf("lease %d is given out, with token %d", number, token), to)
}

// send lets a worker say that it has done the task, or that it still works on it: at any time, for it may have been frozen
// between the end of its work and its call.
func (p Protocol) send(w world, take func(string, world)) {
	free := -1
	for i, m := range w.messages {
		if m.kind == none {
			free = i
		}
	}
	if free < 0 {
		return
	}
	for i := range w.handed {
		l := w.leases[i]
		if l.sent {
			continue
		}
		to := w
		to.leases[i].sent = true
		to.messages[free] = message{completion, i + 1}
		take(fmt.Sprintf("the holder of lease %d sends its completion", i+1), to)
		if !has(w, message{extension, i + 1}) {
			to := w
			to.messages[free] = message{extension, i + 1}
			take(fmt.Sprintf("the holder of lease %d asks for an extension", i+1), to)
		}
	}
}

func has(w world, m message) bool {
	for _, other := range w.messages {
		if other == m {
			return true
		}
	}
	return false
}

// deliver has a message arrive, be lost, or arrive and stay to arrive again.
func (p Protocol) deliver(w world, take func(string, world)) {
	for i, m := range w.messages {
		if m.kind == none {
			continue
		}
		lost := w
		lost.messages[i] = message{}
		take(fmt.Sprintf("what lease %d sent is lost", m.lease), lost)

		to := p.handle(w, m)
		if int(w.doubles) < p.Doubles {
			again := to
			again.doubles++
			take(fmt.Sprintf("what lease %d sent arrives, and will arrive again", m.lease), again)
		}
		to.messages[i] = message{}
		take(fmt.Sprintf("what lease %d sent arrives", m.lease), to)
	}
}

// handle is what the scripts do: check, and only then write.
func (p Protocol) handle(w world, m message) world {
	l := w.leases[m.lease-1]
	r := &w.primary
	if !p.holds(*r, l) || r.state != active {
		if m.kind == completion && l.known == 0 {
			w.leases[m.lease-1].known = 2
		}
		return w
	}
	if m.kind == extension {
		if r.holder != m.lease {
			w.violation = stolenLease
		}
		r.until = w.now + 1
		return w
	}
	r.state, r.nonce = completed, 0
	r.ended++
	if r.ended > 1 {
		w.violation = twoEndings
	}
	if r.holder != m.lease { // another has the task
		w.violation = lateAcceptance
	}
	w.leases[m.lease-1].known = 1
	return w
}

// holds is the check of a lease.
func (p Protocol) holds(r record, l lease) bool {
	if p.Fencing && (p.Equality && l.token != r.token || l.token < r.token) {
		return false
	}
	return !p.Nonce || l.nonce == r.nonce
}

// recover takes the task back from a holder whose lease has run out.
func (p Protocol) recover(w world, take func(string, world)) {
	if w.primary.state != active || w.primary.until > w.now {
		return
	}
	to := w
	to.primary.state, to.primary.nonce = pending, 0
	take(fmt.Sprintf("lease %d has run out, and its task is taken back", to.primary.holder), to)
}

// failOver makes the replica the primary, with what it has: the newest writes are gone, the workers do not know.
func (p Protocol) failOver(w world, take func(string, world)) {
	if int(w.epoch) >= p.Failovers {
		return
	}
	to := w
	to.epoch++
	to.primary = to.replica
	take("Redis fails over, and has lost its newest writes", to)
}
