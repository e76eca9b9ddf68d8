package events

// Latest returns the later position of both cursors, queue by queue.
func (c Cursor) Latest(other Cursor) Cursor { return c.latest(other) }

// Covers reports whether c is at other or after it in every queue.
func (c Cursor) Covers(other Cursor) bool { return c.covers(other) }
