package redistest

import (
	"strconv"
	"sync"
	"testing"

	"github.com/seri-queue/seri/internal/devstore/redisproc"
)

// databases is how many tests can hold a database at the same time. An empty database costs about 1 kB.
const databases = 1024

// shared is what this test binary has started for all of its tests. Nothing stops it but the end of the process.
var shared struct {
	binary  once[redisproc.Binary]
	single  once[*singleServer]
	cluster once[[]string]
}

type singleServer struct {
	addr      string
	databases chan int // those that nobody holds; the one returned last is handed out last
}

func sharedServer(t testing.TB) *singleServer {
	t.Helper()
	binary := requireBinary(t)
	server, err := shared.single.do(func() (*singleServer, error) {
		addr, err := startShared(binary, "--databases", strconv.Itoa(databases))
		if err != nil {
			return nil, err
		}
		free := make(chan int, databases)
		for db := range databases {
			free <- db
		}
		return &singleServer{addr, free}, nil
	})
	if err != nil {
		t.Fatalf("redistest: %v", err)
	}
	return server
}

// once runs a function once and remembers what it returned.
type once[T any] struct {
	once  sync.Once
	value T
	err   error
}

func (o *once[T]) do(start func() (T, error)) (T, error) {
	o.once.Do(func() { o.value, o.err = start() })
	return o.value, o.err
}
