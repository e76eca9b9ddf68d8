package tables

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
)

// checkText refuses what people send by mistake, by name.
func checkText(head []byte) error {
	for _, known := range []struct{ magic, what string }{
		{"\xff\xfe", "UTF-16 text; save it as UTF-8"},
		{"\xfe\xff", "UTF-16 text; save it as UTF-8"},
		{"\x1f\x8b", "compressed by gzip; unpack it first"},
		{"PK\x03\x04", "a ZIP archive or an Excel workbook; save the sheet as CSV"},
		{"%PDF-", "a PDF"},
		{"PAR1", "a Parquet file"},
	} {
		if bytes.HasPrefix(head, []byte(known.magic)) {
			return fmt.Errorf("the source is not a table in UTF-8: it is %s", known.what)
		}
	}
	if bytes.IndexByte(head, 0) >= 0 {
		return errors.New("the source is not a table in UTF-8: there are zero bytes in it")
	}
	return nil
}

// sniff returns the delimiter under which the first rows have most consistently the same number of fields, more than
// one; among equals the one that gives more. A comma if there is none: a table of one column has no delimiter.
func sniff(head []byte, more bool) rune {
	if end := bytes.LastIndexByte(head, '\n'); more && end >= 0 {
		head = head[:end+1] // the last row may be cut
	}
	best, bestShare, bestFields := ',', 0.0, 1
	for _, delimiter := range []rune{',', '\t', ';', '|'} {
		share, fields := consistency(head, delimiter)
		if share > bestShare || share == bestShare && fields > bestFields {
			best, bestShare, bestFields = delimiter, share, fields
		}
	}
	return best
}

// consistency returns the share of the first rows that have as many fields as the first one has, and how many those are.
// With one field there is nothing to be consistent about.
func consistency(head []byte, delimiter rune) (share float64, fields int) {
	const rows = 100
	r := csv.NewReader(bytes.NewReader(head))
	r.Comma, r.FieldsPerRecord, r.ReuseRecord = delimiter, -1, true
	same, all := 0, 0
	for all < rows {
		record, err := r.Read()
		if err == io.EOF {
			break
		}
		all++
		if err != nil {
			break // counts as a row that is different
		}
		if all == 1 {
			fields = len(record)
		}
		if len(record) == fields {
			same++
		}
	}
	if fields <= 1 {
		return 0, fields
	}
	return float64(same) / float64(all), fields
}
