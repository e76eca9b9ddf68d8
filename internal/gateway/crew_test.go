package gateway

import "testing"

func TestQueueThatIsNeverEmptyDoesNotGrow(t *testing.T) {
	t.Parallel()
	const waiting = 100
	c, peers := newCrew(), make([]peer, waiting)
	for i := range peers {
		c.add(&peers[i])
	}

	for i := range 1000 * waiting {
		p := c.take()
		if p != &peers[i%waiting] {
			t.Fatalf("turn %d is not that of who has waited longest", i)
		}
		c.add(p)
	}

	if cap(c.queue) > 4*waiting {
		t.Errorf("of %d who wait there is room for %d", waiting, cap(c.queue))
	}
	for i, p := range c.queue[:c.next] {
		if p != nil {
			t.Fatalf("place %d keeps a peer whose turn was taken", i)
		}
	}
}
