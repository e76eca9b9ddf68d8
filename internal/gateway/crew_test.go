package gateway

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestQueueThatIsNeverEmptyDoesNotGrow(t *testing.T) {
	t.Parallel()
	const waiting = 100
	var f fifo[*int]
	values := make([]int, waiting)
	for i := range values {
		f.add(&values[i])
	}

	for i := range 1000 * waiting {
		v := f.take()
		if v != &values[i%waiting] {
			t.Fatalf("turn %d is not that of who has waited longest", i)
		}
		f.add(v)
	}

	if cap(f.list) > 4*waiting {
		t.Errorf("of %d who wait there is room for %d", waiting, cap(f.list))
	}
	for i, v := range f.list[:f.next] {
		if v != nil {
			t.Fatalf("place %d keeps one whose turn was taken", i)
		}
	}
}

func TestWhoIsPutBackComesFirst(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(f *fifo[int]){
		"nothing is left": func(f *fifo[int]) {
			for f.len() > 0 {
				f.take()
			}
		},
		"others are left": func(*fifo[int]) {},
		"others have come": func(f *fifo[int]) {
			for f.len() > 0 {
				f.take()
			}
			f.add(100)
			f.add(101)
		},
		"others have come to where they were": func(f *fifo[int]) {
			for i := range 100 { // which moves those who wait
				f.add(100 + i)
			}
		},
	} {
		var f fifo[int]
		for i := range 10 {
			f.add(i)
		}
		for range 8 {
			f.take()
		}
		change(&f)
		after := slices.Clone(f.list[f.next:])

		f.putBack([]int{5, 6, 7})

		var got []int
		for f.len() > 0 {
			got = append(got, f.take())
		}
		if want := append([]int{5, 6, 7}, after...); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
}

// newIdleGateway returns a gateway whose turns the test takes, and peers of it.
func newIdleGateway(t *testing.T, n int) (*Gateway, []*peer) {
	t.Helper()
	g, err := New(nil, Config{})
	if err != nil {
		t.Fatal(err)
	}
	peers := make([]*peer, n)
	for i := range peers {
		peers[i] = &peer{g: g}
	}
	return g, peers
}

func TestTurnsOfAlarmsGiveWayForAWhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, peers := newIdleGateway(t, 4)
		idle, live, both, late := peers[0], peers[1], peers[2], peers[3]
		idle.wakeLater()
		both.wakeLater()
		late.wakeLater()
		live.Wake()
		both.Wake() // has something to say after all

		for i, want := range []*peer{live, both, idle} {
			if got := g.crew.take(&worker{at: g.moment()}); got != want {
				t.Fatalf("turn %d is another's", i)
			}
		}
		live.state.Store(resting)
		live.Wake()
		time.Sleep(g.crew.deference + 1)
		other, next := &peer{g: g}, &peer{g: g}
		other.Wake()
		next.wakeLater()
		for i, want := range []*peer{live, late, other, next} {
			if got := g.crew.take(&worker{at: g.moment()}); got != want {
				t.Fatalf("when one has waited long, turn %d is another's", i)
			}
		}
		g.crew.close()
		if p := g.crew.take(&worker{at: g.moment()}); p != nil {
			t.Error("a turn was taken twice")
		}
	})
}

func TestWorkersTakeOnTurnsWhileThereAreMany(t *testing.T) {
	t.Parallel()
	g, peers := newIdleGateway(t, 6*stride)
	for _, p := range peers {
		p.Wake()
	}
	w, other := &worker{crew: g.crew}, &worker{crew: g.crew}
	turns := func(w *worker, those ...*peer) {
		t.Helper()
		for i, want := range those {
			if got := g.crew.take(w); got != want || got.state.Load() != taken {
				t.Fatalf("turn %d is another's", i)
			}
		}
	}

	turns(w, peers[:3]...)
	turns(other, peers[stride+1])
	peers[3].Wake()  // he waits already
	g.crew.spare = 1 // or another would be hired, and take part
	w.leave()
	if len(w.ahead) != 0 || w.places != [stride]*peer{} {
		t.Error("who has left keeps peers")
	}

	turns(other, peers[stride+2:2*stride+2]...)
	turns(other, peers[3:stride+1]...) // before those who have come after them
	turns(other, peers[2*stride+2:]...)
	g.crew.close()
	if p := g.crew.take(other); p != nil {
		t.Error("a turn was taken twice")
	}
}

func TestNobodyTakesOnTurnsBeforeOneWhoHasGivenWayForLong(t *testing.T) {
	t.Parallel()
	g, peers := newIdleGateway(t, 8*stride)
	peers[0].wakeLater()
	peers[1].wakeLater()
	for _, p := range peers[2:] {
		p.Wake()
	}
	w := &worker{crew: g.crew, at: g.moment() + g.crew.deference + time.Hour}
	for i, want := range []*peer{peers[0], peers[2], peers[1], peers[3]} {
		if g.crew.take(w) != want {
			t.Fatalf("turn %d is another's", i)
		}
	}
}

func TestAlarmsRingInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, peers := newIdleGateway(t, 1000)
		done := make(chan struct{})
		var ringing sync.WaitGroup
		ringing.Go(func() { g.alarms.run(done) })
		defer ringing.Wait()
		defer close(done)
		for round := range 3 { // in between there are none
			begun := g.moment()
			at := func(i int) moment { return begun + moment(i)*17*time.Millisecond }
			for i, p := range peers {
				g.alarms.set(p, at(len(peers)))
				g.alarms.set(p, at(i))
			}
			for i, p := range peers {
				switch i % 4 {
				case 1:
					g.alarms.stop(p)
					if g.alarms.putOff(p, at(i+500)) {
						t.Fatalf("round %d: alarm %d was put off though it is not set", round, i)
					}
				case 2:
					if !g.alarms.putOff(p, at(i+100)) || !g.alarms.putOff(p, at(i+500)) {
						t.Fatalf("round %d: alarm %d cannot be put off", round, i)
					}
				case 3:
					if g.alarms.putOff(p, at(i)-1) {
						t.Fatalf("round %d: alarm %d was put off to before its time", round, i)
					}
				}
			}
			for range len(peers) * 3 / 4 {
				p := g.crew.take(&worker{at: g.moment()})
				p.state.Store(resting)
				for i := range peers {
					if peers[i] != p {
						continue
					}
					due := at(i)
					if i%4 == 2 {
						due = at(i + 500)
					}
					if late := g.moment() - due; i%4 == 1 || late < 0 || late > 2*g.alarms.grain {
						t.Fatalf("round %d: alarm %d rang %v late", round, i, late)
					}
				}
			}
			time.Sleep(time.Minute)
			g.crew.mu.Lock()
			besides := g.crew.later.len()
			g.crew.mu.Unlock()
			if besides != 0 || g.alarms.ring() {
				t.Fatalf("round %d: %d rang besides, or some are left", round, besides)
			}
		}
	})
}

func TestWorkersWhoComeBackAreWantedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, _ := newIdleGateway(t, 0)
		c := g.crew
		workers := make([]*worker, spares+1)
		wanted := make(chan *worker)
		for i := range workers {
			workers[i] = &worker{crew: c, away: true}
			c.hands.Go(func() {
				if c.wait(workers[i]) {
					wanted <- workers[i]
				}
			})
			synctest.Wait()
		}
		if c.spare != spares {
			t.Fatalf("%d are kept, want %d", c.spare, spares)
		}
		back := make(map[*worker]bool)
		for range spares {
			(&worker{crew: c}).leave()
			w := <-wanted
			if w.away {
				t.Error("a worker is wanted and takes himself for away")
			}
			back[w] = true
		}
		if len(back) != spares || c.spare != 0 || c.wanted != 0 {
			t.Errorf("%d came back; %d wait, %d are wanted", len(back), c.spare, c.wanted)
		}
		c.hands.Go(func() { c.wait(workers[0]) })
		synctest.Wait()
		c.close() // he need not wait any more
	})
}
