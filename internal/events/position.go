package events

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// EntryID is the ID of a stream's entry. The zero value is before every entry.
type EntryID struct {
	Ms  uint64 // Unix milliseconds, by the clock of Redis
	Seq uint64 // among the entries of that millisecond
}

// MaxIndex is the [Position.Index] that is after every event of its entry.
const MaxIndex = math.MaxUint16

// Position is a place in a queue's stream: just after one event. The zero value is before every event.
type Position struct {
	ID EntryID
	// Index is the event's index in its entry. -1 is before the entry's first event, [MaxIndex] after its last.
	Index int
}

// endOf is the position after all of an entry's events.
func endOf(id EntryID) Position {
	if id == (EntryID{}) {
		return Position{}
	}
	return Position{id, MaxIndex}
}

// Compare returns -1, 0 or 1 as id is before, at or after other.
func (id EntryID) Compare(other EntryID) int {
	return cmp.Or(cmp.Compare(id.Ms, other.Ms), cmp.Compare(id.Seq, other.Seq))
}

// String returns the ID as Redis writes it: "<ms>-<seq>".
func (id EntryID) String() string {
	var buf [41]byte
	return string(id.append(buf[:0]))
}

func (id EntryID) append(b []byte) []byte {
	b = strconv.AppendUint(b, id.Ms, 10)
	b = append(b, '-')
	return strconv.AppendUint(b, id.Seq, 10)
}

// ParseEntryID reads "<ms>-<seq>".
func ParseEntryID(text string) (EntryID, error) {
	ms, seq, ok := strings.Cut(text, "-")
	if !ok {
		return EntryID{}, fmt.Errorf("%.60q is not an entry id: it has no %q", text, "-")
	}
	var id EntryID
	var err error
	if id.Ms, err = parseDigits(ms); err != nil {
		return EntryID{}, fmt.Errorf("%.60q is not an entry id: milliseconds: %w", text, err)
	}
	if id.Seq, err = parseDigits(seq); err != nil {
		return EntryID{}, fmt.Errorf("%.60q is not an entry id: sequence: %w", text, err)
	}
	return id, nil
}

// Compare returns -1, 0 or 1 as p is before, at or after other.
func (p Position) Compare(other Position) int {
	return cmp.Or(p.ID.Compare(other.ID), cmp.Compare(p.Index, other.Index))
}

// String returns "<ms>-<seq>:<index>".
func (p Position) String() string {
	var buf [48]byte
	return string(p.append(buf[:0]))
}

func (p Position) append(b []byte) []byte {
	b = p.ID.append(b)
	b = append(b, ':')
	return strconv.AppendInt(b, int64(p.Index), 10)
}

// ParsePosition reads what [Position.String] writes, and nothing else: two texts never mean the same position.
func ParsePosition(text string) (Position, error) {
	entry, index, ok := strings.Cut(text, ":")
	if !ok {
		return Position{}, fmt.Errorf("%.60q is not a position: it has no %q", text, ":")
	}
	id, err := ParseEntryID(entry)
	if err != nil {
		return Position{}, fmt.Errorf("%.60q is not a position: %w", text, err)
	}
	if index == "-1" && id != (EntryID{}) {
		return Position{id, -1}, nil
	}
	n, err := parseDigits(index)
	if err != nil {
		return Position{}, fmt.Errorf("%.60q is not a position: index: %w", text, err)
	}
	if n > MaxIndex {
		return Position{}, fmt.Errorf("%.60q is not a position: index is above %d", text, MaxIndex)
	}
	return Position{id, int(n)}, nil
}

// parseDigits reads an unsigned decimal as strconv.AppendUint writes it: no sign, no leading zeros.
func parseDigits(text string) (uint64, error) {
	if len(text) > 1 && text[0] == '0' {
		return 0, fmt.Errorf("%.24q has a leading zero", text)
	}
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return 0, fmt.Errorf("%.24q is not a number", text)
		}
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%.24q is not a number of 64 bits", text)
	}
	return n, nil
}
