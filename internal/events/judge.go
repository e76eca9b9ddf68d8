package events

// verdict is what has become of a stream since an entry was read from it.
type verdict int

const (
	// whole: everything after the entry is still there.
	whole verdict = iota
	// trimmed: entries after it are missing, or may be; those that are there come after it.
	trimmed
	// lost: the stream was deleted, or is another history than the one that had the entry.
	lost
)

// judge decides whether all entries after the entry id are still there. number is the entry's place in the stream,
// counted from 1 by Redis (entries-added); -1: not known.
//
// Streams are trimmed at the front only, so an entry that is there proves that nothing after it is missing. One that is
// not there was trimmed, and perhaps more with it, unless older entries are there: then history went back, which is
// what a failover to a replica that lacked it looks like.
func judge(id EntryID, number int64, v view) verdict {
	never := id == (EntryID{}) // nothing was read yet
	gone := v.added - v.length // entries trimmed away, ever
	switch {
	case v.has:
		return whole
	case never && (!v.exists || v.added < 0 || gone == 0):
		return whole
	case never:
		return trimmed
	case !v.exists:
		return lost
	case v.last == id:
		return whole // nothing was written since
	case v.last.Compare(id) < 0:
		return lost
	case v.first != (EntryID{}) && v.first.Compare(id) < 0:
		return lost
	case number >= 0 && v.added >= 0 && gone == number:
		return whole // it was the last of those trimmed away
	default:
		return trimmed
	}
}
