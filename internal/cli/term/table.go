package term

import (
	"io"
	"strings"
)

// Table is a table whose columns are as wide as they need to be.
type Table struct {
	Header []string
	// Right tells for each column whether it is set flush right, as numbers are. Columns beyond its end are not.
	Right []bool
	rows  [][]string
}

// Add adds a row. Its cells must be harmless; see [Line].
func (t *Table) Add(cells ...string) { t.rows = append(t.rows, cells) }

// Write writes the table. On a terminal its rows are cut at the terminal's width.
func (t *Table) Write(w io.Writer) error {
	rows := append([][]string{t.Header}, t.rows...)
	widths := make([]int, len(t.Header))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], Columns(cell))
		}
	}
	limit := Width(w)
	var out strings.Builder
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			if i > 0 {
				line.WriteString("  ")
			}
			if i < len(t.Right) && t.Right[i] {
				cell = strings.Repeat(" ", widths[i]-Columns(cell)) + cell
			}
			line.WriteString(Pad(cell, widths[i]))
		}
		text := strings.TrimRight(line.String(), " ")
		if limit > 0 {
			text = Truncate(text, limit)
		}
		out.WriteString(text + "\n")
	}
	_, err := io.WriteString(w, out.String())
	return err
}
