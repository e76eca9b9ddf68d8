package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
)

// Row is one line of the table: one workload in one variant, everything in it measured in one run.
type Row struct {
	Workload string `json:"workload"` // "W3"
	Variant  string `json:"variant"`
	Unit     string `json:"unit"`
	Lower    bool   `json:"lower_is_better,omitempty"`

	Seri    Number `json:"seri"`
	SeriMin Number `json:"seri_min"`
	SeriMax Number `json:"seri_max"`

	// Peers is each peer's median under its best tuning; Tunings are all of them.
	Peers         map[string]Number `json:"peers"`
	Tunings       []Tuning          `json:"tunings,omitempty"`
	RatioBestPeer Number            `json:"ratio_best_peer"` // above 1: Seri is better

	Floor        Number `json:"floor"`          // the physical limit, in Unit
	ShareOfFloor Number `json:"share_of_floor"` // 1: Seri is at the limit

	Target string `json:"target,omitempty"`
	Met    *bool  `json:"met,omitempty"`

	Cost   *Cost   `json:"cost,omitempty"`  // Seri's
	Batch  Number  `json:"batch,omitempty"` // tasks in a script call of Seri's, on average; 0: not known
	Rounds int     `json:"rounds"`
	Scale  float64 `json:"scale"`
}

// Tuning is a peer in one setting.
type Tuning struct {
	Peer   string `json:"peer"`
	Tuning string `json:"tuning"`
	Median Number `json:"median"`
	Min    Number `json:"min"`
	Max    Number `json:"max"`
	Cost   *Cost  `json:"cost,omitempty"`
}

// Cost is processor time, in microseconds a task.
type Cost struct {
	Store  Number `json:"store_us"`
	Worker Number `json:"worker_us"`
	Client Number `json:"client_us"`
}

// Number is a float whose NaN is null in JSON: not measured.
type Number float64

// NotMeasured is the [Number] of what was not measured.
func NotMeasured() Number { return Number(math.NaN()) }

// Known reports whether n was measured.
func (n Number) Known() bool { return !math.IsNaN(float64(n)) && !math.IsInf(float64(n), 0) }

// MarshalJSON is part of [json.Marshaler].
func (n Number) MarshalJSON() ([]byte, error) {
	if !n.Known() {
		return []byte("null"), nil
	}
	return json.Marshal(round(float64(n)))
}

// UnmarshalJSON is part of [json.Unmarshaler].
func (n *Number) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*n = NotMeasured()
		return nil
	}
	return json.Unmarshal(b, (*float64)(n))
}

// round keeps four significant digits: no figure of a benchmark has more.
func round(v float64) float64 {
	if v == 0 {
		return 0
	}
	unit := math.Pow(10, math.Floor(math.Log10(math.Abs(v)))-3)
	if unit < 1 {
		inverse := math.Round(1 / unit) // exact, where the unit itself is not
		return math.Round(v*inverse) / inverse
	}
	return math.Round(v/unit) * unit
}

// Finish derives the best peers, the ratios and whether the target was met.
func (r *Row) Finish(met func(*Row) bool) {
	r.Peers = make(map[string]Number)
	for _, t := range r.Tunings {
		best, seen := r.Peers[t.Peer]
		if t.Median.Known() && (!seen || (t.Median > best) != r.Lower) {
			r.Peers[t.Peer] = t.Median
		}
	}
	best := NotMeasured()
	for _, v := range r.Peers {
		if !best.Known() || (v > best) != r.Lower {
			best = v
		}
	}
	r.RatioBestPeer = Number(Gain(float64(r.Seri), float64(best), r.Lower))
	r.ShareOfFloor = Number(Gain(float64(r.Seri), float64(r.Floor), r.Lower))
	if met != nil && r.Seri.Known() {
		r.Met = new(met(r))
	}
}

// BestTuning returns a peer's best setting; false if there is none.
func (r *Row) BestTuning(peer string) (Tuning, bool) {
	for _, t := range r.Tunings {
		if t.Peer == peer && t.Median.Known() && t.Median == r.Peers[peer] {
			return t, true
		}
	}
	return Tuning{}, false
}

// Merge returns old with its rows of the measured workloads replaced by fresh ones, in the order of their workloads.
func Merge(old, fresh []Row) []Row {
	measured := make(map[string]bool)
	for _, r := range fresh {
		measured[r.Workload] = true
	}
	merged := slices.DeleteFunc(slices.Clone(old), func(r Row) bool { return measured[r.Workload] })
	merged = append(merged, fresh...)
	slices.SortStableFunc(merged, func(a, b Row) int { return order(a.Workload) - order(b.Workload) })
	return merged
}

// order makes W2 precede W10, and W1a W1b.
func order(workload string) int {
	var n int
	var letter rune
	_, _ = fmt.Sscanf(workload, "W%d%c", &n, &letter) // what is not there stays zero
	return 256*n + int(letter)
}

// Load reads rows that were saved; none if the file is not there.
func Load(name string) ([]Row, error) {
	content, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read earlier results: %w", err)
	}
	var rows []Row
	if err := json.Unmarshal(content, &rows); err != nil {
		return nil, fmt.Errorf("read earlier results in %s: %w", name, err)
	}
	return rows, nil
}

// Save writes rows, one a line, so that a change of one shows as one.
func Save(name string, rows []Row) error {
	b := []byte("[\n")
	for i, r := range rows {
		line, err := json.Marshal(r)
		if err != nil {
			return fmt.Errorf("save results: %w", err)
		}
		b = append(b, line...)
		if i < len(rows)-1 {
			b = append(b, ',')
		}
		b = append(b, '\n')
	}
	return write(name, append(b, ']', '\n'))
}

// write makes the file and its directory.
func write(name string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return os.WriteFile(name, content, 0o644)
}
