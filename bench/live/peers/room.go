package main

import (
	"runtime"
	"sync"
)

// room holds those who are there. Nobody leaves before the end.
type room[T any] struct {
	mu      sync.Mutex
	members []T
}

func (r *room[T]) enter(m T) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.members = append(r.members, m)
}

// each calls a function for all, on every processor at once.
func (r *room[T]) each(do func(T)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var wg sync.WaitGroup
	hands := runtime.GOMAXPROCS(0)
	for hand := range hands {
		wg.Go(func() {
			for i := hand; i < len(r.members); i += hands {
				do(r.members[i])
			}
		})
	}
	wg.Wait()
}
