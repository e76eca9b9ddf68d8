package partition_test

import (
	"testing"

	"github.com/seri-queue/seri/internal/partition"
	"github.com/seri-queue/seri/internal/redistest"
)

// Workers must come back while Redis is full: they are what empties it.
func TestWhatIsOnRecordCanBeDeclaredToAFullRedis(t *testing.T) {
	t.Parallel()
	rdb := redistest.Exclusive(t).Client()
	agreement := partition.NewAgreement(rdb)
	if n, err := agreement.Declare(t.Context(), "images", 8); n != 8 || err != nil {
		t.Fatalf("declared 8, on record are %d, %v", n, err)
	}
	if err := rdb.ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}

	if err := table(t, map[string]int{"images": 8}).Serve(t.Context(), agreement, []string{"images"}); err != nil {
		t.Errorf("a worker is refused: %v", err)
	}
	if n, err := agreement.Declare(t.Context(), "images", 4); n != 8 || err != nil {
		t.Errorf("declared 4, on record are %d, %v; want the 8 of before", n, err)
	}
	if _, err := agreement.Declare(t.Context(), "mail", 4); err == nil {
		t.Error("a full Redis has taken a new queue")
	}
}
