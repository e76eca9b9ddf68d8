// Package tables holds tasks that work on tables. [Profile] says what is in the columns of a CSV or TSV file.
package tables

import (
	"time"

	"github.com/seri-queue/seri"
)

// Profile reads a CSV or TSV file once, of any size, in memory that does not grow with it, and describes every column.
//
// The first row holds the columns' names. Quoting follows RFC 4180; a byte order mark is skipped; empty lines are, too.
// A row with more or fewer fields than the first one, or with a quote out of place, fails the task for good and is named
// by its line: a profile of a file that was misread would be worse than none.
//
// It reads only, so repeating it is harmless; the same file gives the same profile.
var Profile = seri.NewTask[ProfileArgs, ProfileResult]("csv.profile", seri.MaxRetries(5), seri.Timeout(Timeout))

// Timeout limits one attempt, unless the task is enqueued with another one: time for some hundred gigabytes from near by.
const Timeout = 2 * time.Hour

// The limits of one task: they bound the memory that it takes, to about 100 MB at the worst.
const (
	MaxColumns     = 1000
	MaxRecordBytes = 4 << 20 // of one row
	MaxTop         = 100
	MaxTopInAll    = 10_000 // top × columns: the result has to be kept somewhere
	maxTextBytes   = 100    // of a value in the result; longer ones are cut and end in "…"
)

// ProfileArgs says what to profile.
type ProfileArgs struct {
	Source    string `json:"source" jsonschema:"The table: an http or https URL, or a file: URL if the worker may read files. UTF-8, the first row holds the names." format:"http-or-file-url"`
	Delimiter string `json:"delimiter,omitempty" jsonschema:"What stands between two fields: one character, or tab. Default: found out from the first rows, among comma, tab, semicolon and bar." pattern:"^(tab|\\\\t|[^\"\\r\\n\\x00])?$"`
	Top       int    `json:"top,omitempty" jsonschema:"How many of the most frequent values to list for each column, at most 100, and at most 10,000 for all columns together. Default: 10." minimum:"0" maximum:"100"`
}

// ProfileResult describes a table.
type ProfileResult struct {
	Delimiter string   `json:"delimiter" jsonschema:"What stands between two fields."`
	Rows      int64    `json:"rows" jsonschema:"Rows, the names not counted."`
	Bytes     int64    `json:"bytes" jsonschema:"Bytes read."`
	Columns   []Column `json:"columns" jsonschema:"In the order of the file."`
}

// Column describes one column. A value is what a field holds without the spaces around it. Null is a field that is
// empty or one of NULL, null and \N; "NA" and "nan" are not null: somebody's name is Nan, and NA is Namibia.
type Column struct {
	Name string `json:"name" jsonschema:"As in the first row; column_3 if the third name is empty."`
	// Type is the narrowest that fits every value that is not null:
	//
	//	integer    any number of digits with an optional sign; no leading zeros, which mark codes (a ZIP code is a string)
	//	number     the same with a decimal point or an exponent
	//	boolean    true or false, in any case
	//	date       2006-01-02
	//	timestamp  2006-01-02 15:04[:05[.999]], with a space or a T, with or without a zone; or a date
	//	string     anything else
	//	empty      there is no value
	Type     string `json:"type" jsonschema:"integer, number, boolean, date, timestamp, string or empty."`
	Nulls    int64  `json:"nulls" jsonschema:"Fields without a value."`
	Distinct int64  `json:"distinct" jsonschema:"Different values: exact up to a few hundred, beyond that an estimate (HyperLogLog, standard error 0.8 %)."`
	// Min and Max are values as they stand in the file, and so are exact for integers of any size. They are compared
	// as what Type says: numbers by value, times by the instant (without a zone: UTC), strings by their bytes.
	Min string `json:"min,omitempty" jsonschema:"The smallest value, as it stands in the file."`
	Max string `json:"max,omitempty" jsonschema:"The largest value, as it stands in the file."`
	// Mean is there for integers and numbers.
	Mean *float64 `json:"mean,omitempty" jsonschema:"The mean of the values, for numbers."`
	// Top lists values that are more frequent than any that was not tracked, the most frequent first. A column in which
	// nothing stands out, such as a large one of unique numbers, has none.
	Top []Value `json:"top,omitempty" jsonschema:"The most frequent values."`
	// TopError bounds what the counts of Top may miss. It is at most 0.2 % of the rows, or 0.8 % in a table
	// of more than 256 columns, and usually far less.
	TopError int64 `json:"top_error,omitempty" jsonschema:"By how much a count in top may be too low. 0: the counts are exact."`
}

// Value is one value and how often it occurs.
type Value struct {
	Value string `json:"value" jsonschema:"As it stands in the file; beyond 100 bytes it is cut and ends in an ellipsis."`
	Count int64  `json:"count" jsonschema:"How often it occurs, at least; see top_error."`
}
