package images

import (
	"context"
	"errors"
	"image"
	"image/color"
	"testing"
	"testing/synctest"

	"golang.org/x/image/draw"

	"github.com/seri-queue/seri"
)

func TestFitKeepsProportions(t *testing.T) {
	t.Parallel()
	cases := map[string]struct{ width, height, edge, wantWidth, wantHeight int }{
		"landscape":         {4000, 3000, 400, 400, 300},
		"portrait":          {3000, 4000, 400, 300, 400},
		"square":            {500, 500, 64, 64, 64},
		"rounded":           {150, 103, 64, 64, 44},
		"never enlarged":    {150, 103, 151, 150, 103},
		"never without one": {5000, 1, 100, 100, 1},
		"to one pixel":      {4000, 3000, 1, 1, 1},
	}
	for name, c := range cases {
		if w, h := fit(c.width, c.height, c.edge); w != c.wantWidth || h != c.wantHeight {
			t.Errorf("%s: got %d × %d, want %d × %d", name, w, h, c.wantWidth, c.wantHeight)
		}
	}
}

// Scaling in strips must give what scaling in one go gives, but for the rounding in between: no seams. The picture is
// smooth, for at sharp edges the rounding also cuts off what Catmull-Rom overshoots.
func TestStripsMeetWithoutASeam(t *testing.T) {
	t.Parallel()
	src := image.NewRGBA(image.Rect(3, 5, 3+301, 5+203))
	for y := range 203 {
		for x := range 301 {
			src.SetRGBA(3+x, 5+y, color.RGBA{uint8(x * 255 / 301), uint8(y * 255 / 203), uint8((x + y) / 2), 255})
		}
	}
	for _, size := range []image.Point{{100, 67}, {150, 101}, {301, 203}, {33, 22}, {1, 1}} {
		want := image.NewRGBA(image.Rectangle{Max: size})
		draw.CatmullRom.Scale(want, want.Bounds(), src, src.Bounds(), draw.Src, nil)

		got, err := scale(t.Context(), src, size.X, size.Y)

		if err != nil {
			t.Fatal(err)
		}
		for i := range want.Pix {
			if d := int(want.Pix[i]) - int(got.Pix[i]); d < -2 || d > 2 {
				t.Fatalf("%v: byte %d is %d, want %d", size, i, got.Pix[i], want.Pix[i])
			}
		}
	}
}

func TestScalingStopsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(seri.ErrStopping)

	_, err := scale(ctx, image.NewGray(image.Rect(0, 0, 100, 100)), 10, 10)

	if !errors.Is(err, seri.ErrStopping) {
		t.Errorf("got %v", err)
	}
}

func TestPixelsInMemoryAreLimited(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(640)
		small, err1 := b.acquire(t.Context(), 100)
		order := make(chan string, 3)
		go func() {
			release, _ := b.acquire(t.Context(), 640)
			order <- "all"
			release()
		}()
		synctest.Wait() // it holds what is left, and waits for the rest
		go func() {
			release, _ := b.acquire(t.Context(), 10)
			order <- "little"
			release()
		}()
		synctest.Wait()
		if err1 != nil || len(order) != 0 {
			t.Fatalf("got past a full budget: %d, %v", len(order), err1)
		}

		small()

		if first, second := <-order, <-order; first != "all" || second != "little" {
			t.Errorf("got %s before %s, want the first come served first", first, second)
		}
		synctest.Wait()
		if len(b.units) != 0 {
			t.Errorf("%d units are still taken", len(b.units))
		}
	})
}

func TestWaitingForPixelsEndsWithTheContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(640)
		release, _ := b.acquire(t.Context(), 600)
		ctx, cancel := context.WithCancelCause(t.Context())
		failed := make(chan error)
		go func() {
			_, err := b.acquire(ctx, 640)
			failed <- err
		}()
		synctest.Wait()

		cancel(seri.ErrRevoked)

		if err := <-failed; !errors.Is(err, seri.ErrRevoked) {
			t.Errorf("got %v", err)
		}
		release()
		if len(b.units) != 0 {
			t.Errorf("%d units are still taken", len(b.units))
		}
	})
}
