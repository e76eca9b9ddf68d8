package tables

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/cespare/xxhash/v2"
)

// generated is a table of so many rows that is never in memory as a whole: a row number, a value of Zipf's law,
// a price, a time.
type generated struct {
	rows, row int
	zipf      *rand.Zipf
	rest      []byte
}

func generate(rows int) *generated {
	r := rand.New(rand.NewPCG(1, 2))
	return &generated{rows: rows, zipf: rand.NewZipf(r, 1.3, 1, 1<<20), rest: []byte("id,word,price,at\n")}
}

func (g *generated) Read(p []byte) (int, error) {
	for len(g.rest) < len(p) && g.row < g.rows {
		g.rest = fmt.Appendf(g.rest, "%d,word%d,%d.%02d,2024-01-%02d 10:%02d:00\n",
			g.row, g.zipf.Uint64(), g.row%1000, g.row%100, g.row%28+1, g.row%60)
		g.row++
	}
	if len(g.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, g.rest)
	g.rest = append(g.rest[:0], g.rest[n:]...)
	return n, nil
}

func TestEstimatesOfALargeTable(t *testing.T) {
	t.Parallel()
	const rows = 50_000
	exact := make(map[string]int64)
	for line := range strings.Lines(readAll(t, generate(rows))) {
		exact[strings.Split(line, ",")[1]]++
	}
	delete(exact, "word")

	got, err := profile(t.Context(), generate(rows), 0, 0, 10)

	if err != nil || got.Rows != rows {
		t.Fatalf("%d rows, %v", got.Rows, err)
	}
	id, word := got.Columns[0], got.Columns[1]
	if !near(id.Distinct, rows, 0.03) || len(id.Top) != 0 || id.Min != "0" || id.Max != "49999" {
		t.Errorf("id: %+v", id)
	}
	if !near(word.Distinct, int64(len(exact)), 0.03) {
		t.Errorf("word: %d distinct, want about %d", word.Distinct, len(exact))
	}
	if word.TopError > 2*rows/1024 || len(word.Top) != 10 {
		t.Errorf("word: %d top values, error %d", len(word.Top), word.TopError)
	}
	for i, v := range word.Top {
		if real := exact[v.Value]; v.Count > real || v.Count < real-word.TopError || v.Value != fmt.Sprintf("word%d", i) {
			t.Errorf("top %d: %+v, in truth %d, error at most %d", i, v, real, word.TopError)
		}
	}
}

func readAll(t *testing.T, r io.Reader) string {
	t.Helper()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func near(got, want int64, share float64) bool {
	return float64(got) > float64(want)*(1-share) && float64(got) < float64(want)*(1+share)
}

// Not parallel: it measures the memory of the whole process.
func TestMemoryDoesNotGrowWithTheTable(t *testing.T) {
	live := func(rows int) int64 {
		r, err := newReader(generate(rows), ',')
		if err != nil {
			t.Fatal(err)
		}
		names, err := r.next()
		if err != nil {
			t.Fatal(err)
		}
		columns, err := newColumns(names, 10)
		if err != nil {
			t.Fatal(err)
		}
		for {
			record, err := r.next()
			if err == io.EOF {
				break
			}
			for i, field := range record {
				columns[i].add(field)
			}
		}
		var stats runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&stats)
		runtime.KeepAlive(columns)
		runtime.KeepAlive(r)
		return int64(stats.HeapAlloc)
	}

	small, large := live(5_000), live(50_000)

	if large-small > 1<<20 {
		t.Errorf("%d bytes are live after ten times the rows, %d before", large, small)
	}
}

func TestFrequentKeepsItsBound(t *testing.T) {
	t.Parallel()
	for _, distinct := range []uint64{10, 100, 1000, 100_000} {
		const limit, n = 64, 20_000
		f := newFrequent(limit)
		exact := make(map[string]int64)
		r := rand.New(rand.NewPCG(3, distinct))
		for range n {
			value := fmt.Sprint(r.Uint64N(r.Uint64N(distinct) + 1)) // small ones more often
			exact[value]++
			if hash := xxhash.Sum64String(value); !f.add(hash, value) {
				f.lower()
				f.add(hash, value)
			}
		}

		if f.missed > 2*n/limit || len(f.items) > limit {
			t.Errorf("%d distinct: missed %d with %d counters", distinct, f.missed, len(f.items))
		}
		if (f.missed == 0) != (len(exact) <= limit) {
			t.Errorf("%d distinct: missed %d", len(exact), f.missed)
		}
		for _, v := range f.top(limit) {
			if real := exact[v.Value]; v.Count > real || v.Count < real-f.missed {
				t.Errorf("%d distinct: %+v, in truth %d, error at most %d", distinct, v, real, f.missed)
			}
		}
	}
}

// FuzzProfile: whatever the bytes, a profile that can be encoded and adds up, or an error; and reading by other
// portions gives the same.
func FuzzProfile(f *testing.F) {
	for _, seed := range []string{
		"a,b\n1,2\n", "\ufeffa;b\n1,5;\n", "a\n\"x\ny\"\n", "a\tb\n\\N\ttrue\n", "a\n1e308\n-1e308\n", "a\n2024-01-01T00:00Z\n",
		"a,b\n1\n", "a\n\"", "\n\n", "a\n\xff\n", "\"a\"\"\",b\r\n,\r\n", "a\n9007199254740993\n+0\n-0\n",
	} {
		f.Add([]byte(seed), byte(0))
	}
	delimiters := []rune{0, ',', ';', '\t', '¦'}
	f.Fuzz(func(t *testing.T, data []byte, choice byte) {
		delimiter := delimiters[int(choice)%len(delimiters)]

		got, err := profile(t.Context(), bytes.NewReader(data), 0, delimiter, 5)
		again, errAgain := profile(t.Context(), iotest.OneByteReader(bytes.NewReader(data)), 0, delimiter, 5)

		if fmt.Sprint(err) != fmt.Sprint(errAgain) {
			t.Fatalf("got %v, byte by byte %v", err, errAgain)
		}
		if err != nil {
			return
		}
		encoded, err := json.Marshal(got)
		if err != nil {
			t.Fatalf("a result that cannot be encoded: %v", err)
		}
		if encodedAgain, _ := json.Marshal(again); !bytes.Equal(encoded, encodedAgain) {
			t.Fatalf("got %s\nbyte by byte %s", encoded, encodedAgain)
		}
		for _, c := range got.Columns {
			if values := got.Rows - c.Nulls; c.Nulls < 0 || values < 0 || c.Distinct > values || (c.Type == "empty") != (values == 0) {
				t.Fatalf("%d rows, but %+v", got.Rows, c)
			}
		}
	})
}

func BenchmarkProfile(b *testing.B) {
	const rows = 50_000
	data, err := io.ReadAll(generate(rows))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := profile(b.Context(), bytes.NewReader(data), 0, 0, 10); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
