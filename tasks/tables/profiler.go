package tables

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/tasks/internal/fetch"
)

// Profiler is what a worker needs to handle [Profile].
type Profiler struct {
	Source *fetch.Opener
}

// Describe handles [Profile].
func (p *Profiler) Describe(ctx context.Context, args ProfileArgs) (ProfileResult, error) {
	delimiter, err := args.validate()
	if err != nil {
		return ProfileResult{}, seri.Permanent(err)
	}
	source, err := p.Source.Open(ctx, args.Source)
	if err != nil {
		return ProfileResult{}, err
	}
	defer source.Close()

	result, err := profile(ctx, source, max(source.Size, 0), delimiter, cmp.Or(args.Top, 10))
	if err == nil {
		seri.Log(ctx).Info("read the table", "rows", result.Rows, "columns", len(result.Columns))
	}
	return result, err
}

// validate returns the delimiter, 0 for none given, or everything that is wrong with a.
func (a ProfileArgs) validate() (rune, error) {
	var errs []error
	delimiter, err := parseDelimiter(a.Delimiter)
	if err != nil {
		errs = append(errs, err)
	}
	if a.Top < 0 || a.Top > MaxTop {
		errs = append(errs, fmt.Errorf("top is %d, must be between 0 and %d", a.Top, MaxTop))
	}
	return delimiter, errors.Join(errs...)
}

func parseDelimiter(s string) (rune, error) {
	switch s {
	case "":
		return 0, nil
	case "tab", `\t`:
		return '\t', nil
	}
	r, size := utf8.DecodeRuneInString(s)
	if size != len(s) || r == utf8.RuneError || strings.ContainsRune("\"\r\n\x00", r) {
		return 0, fmt.Errorf("delimiter is %q, must be one character (no quote, no line break) or tab", s)
	}
	return r, nil
}

// profile reads a table of so many bytes (0: nobody knows) to its end. delimiter 0 means: find out.
func profile(ctx context.Context, source io.Reader, bytes int64, delimiter rune, top int) (ProfileResult, error) {
	watch := &watch{Reader: source, ctx: ctx, total: bytes}
	r, err := newReader(watch, delimiter)
	if err != nil {
		return ProfileResult{}, err
	}
	names, err := r.next()
	if errors.Is(err, io.EOF) {
		return ProfileResult{}, seri.Permanent(errors.New("the source is empty: there is not even a row of names"))
	}
	if err != nil {
		return ProfileResult{}, err
	}
	columns, err := newColumns(names, top)
	if err != nil {
		return ProfileResult{}, seri.Permanent(err)
	}

	for {
		record, err := r.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return ProfileResult{}, err
		}
		for i, field := range record {
			columns[i].add(field)
		}
		watch.rows++
	}
	watch.total = max(bytes, watch.read)
	watch.report()

	result := ProfileResult{Delimiter: string(r.csv.Comma), Rows: watch.rows, Bytes: watch.read}
	for _, c := range columns {
		result.Columns = append(result.Columns, c.describe(top))
	}
	return result, nil
}

// newColumns returns an empty column for each name.
func newColumns(names []string, top int) ([]*column, error) {
	if len(names) > MaxColumns {
		return nil, fmt.Errorf("the table has %d columns, the limit is %d", len(names), MaxColumns)
	}
	if top*len(names) > MaxTopInAll {
		return nil, fmt.Errorf("top is %d for each of %d columns, which makes more than %d values: ask for %d at most",
			top, len(names), MaxTopInAll, MaxTopInAll/len(names))
	}
	tracked := min(max(1<<18/len(names), 256), 1024)
	columns := make([]*column, len(names))
	for i, name := range names {
		name = cmp.Or(shorten(strings.TrimSpace(name)), fmt.Sprintf("column_%d", i+1))
		columns[i] = newColumn(name, tracked)
	}
	return columns, nil
}

// shorten returns s, made valid UTF-8 and at most maxTextBytes long before the "…" that tells that it was cut.
func shorten(s string) string {
	if len(s) <= maxTextBytes {
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	end := maxTextBytes
	for end > maxTextBytes-utf8.UTFMax && !utf8.RuneStart(s[end]) {
		end--
	}
	return strings.ToValidUTF8(s[:end], "\uFFFD") + "…"
}
