package prefetch

import (
	"fmt"
	"testing"
	"unsafe"
)

type far struct {
	value int
	_     [2 << 10]byte
}

// TestAnyObjectMayBeAskedFor is for the assembly, which could crash, and for the race detector's check of pointers.
func TestAnyObjectMayBeAskedFor(t *testing.T) {
	t.Parallel()
	here := far{value: 7}
	for bytes := range 2 * unsafe.Sizeof(here) {
		First(&here, bytes)
	}
	First(new(struct{}), line)
	if here.value != 7 {
		t.Errorf("it has become %d", here.value)
	}
}

// BenchmarkFirst visits objects that are too many for the processor's caches.
func BenchmarkFirst(b *testing.B) {
	objects := make([]*far, 100_000)
	for i := range objects {
		objects[i] = new(far)
	}
	for _, ahead := range []int{0, 8} {
		b.Run(fmt.Sprint(ahead, " ahead"), func(b *testing.B) {
			sum := 0
			for i := range b.N {
				at := i * 7919 % len(objects)
				if ahead > 0 {
					First(objects[(i+ahead)*7919%len(objects)], 8)
				}
				for range 100 { // what else there is to do
					sum += sum>>3 ^ at
				}
				sum += objects[at].value
			}
			if sum == 1 {
				b.Log(sum) // or it would not have to be computed
			}
		})
	}
}
