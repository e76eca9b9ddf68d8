package images

import "context"

// budget is a number of pixels that may be in memory at once. A worker runs many tasks at a time, and pictures that
// are each within the limit would together take all the memory there is.
type budget struct {
	turn  chan struct{} // held while taking units: whoever needs many is not overtaken by those who need few
	units chan struct{} // as many as are taken
	each  int           // pixels per unit
}

func newBudget(pixels int) *budget {
	const units = 64
	return &budget{
		turn:  make(chan struct{}, 1),
		units: make(chan struct{}, units),
		each:  max(1, (pixels+units-1)/units),
	}
}

// acquire waits until there is room for so many pixels. The error is the cause with which ctx ended.
func (b *budget) acquire(ctx context.Context, pixels int) (release func(), err error) {
	need, taken := min(cap(b.units), (pixels+b.each-1)/b.each), 0
	release = func() {
		for range taken {
			<-b.units
		}
	}

	select {
	case b.turn <- struct{}{}:
		defer func() { <-b.turn }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	for taken < need {
		select {
		case b.units <- struct{}{}:
			taken++
		case <-ctx.Done():
			release()
			return nil, context.Cause(ctx)
		}
	}
	return release, nil
}
