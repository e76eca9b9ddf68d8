package tables_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/seri-queue/seri"
	"github.com/seri-queue/seri/internal/safehttp"
	"github.com/seri-queue/seri/seritest"
	"github.com/seri-queue/seri/tasks/internal/fetch"
	"github.com/seri-queue/seri/tasks/samples"
	"github.com/seri-queue/seri/tasks/tables"
)

// newProfiler returns a profiler that reads below a directory of its own, and a function that writes a file there and
// returns its URL.
func newProfiler(t testing.TB) (*tables.Profiler, func(text string) string) {
	t.Helper()
	client, err := safehttp.New(safehttp.Config{Allow: []string{"127.0.0.1:*"}, MaxBodyBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	files := t.TempDir()
	put := func(text string) string {
		t.Helper()
		if err := os.WriteFile(filepath.Join(files, "table"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return "file:table"
	}
	return &tables.Profiler{Source: &fetch.Opener{Client: client, Files: files}}, put
}

func run(t *testing.T, text string, args tables.ProfileArgs) (tables.ProfileResult, error) {
	t.Helper()
	profiler, put := newProfiler(t)
	args.Source = put(text)
	return seritest.Run(t, tables.Profile, profiler.Describe, args)
}

func TestProfileOfTheSample(t *testing.T) {
	t.Parallel()
	text, err := samples.FS.ReadFile("cities.csv")
	if err != nil {
		t.Fatal(err)
	}

	got, err := run(t, string(text), tables.ProfileArgs{Top: 3})

	if err != nil || got.Rows != 278 || got.Delimiter != "," || got.Bytes != int64(len(text)) || len(got.Columns) != 9 {
		t.Fatalf("got %+v, %v", got, err)
	}
	var types []string
	columns := make(map[string]tables.Column)
	for _, c := range got.Columns {
		types = append(types, c.Type)
		columns[c.Name] = c
	}
	if want := "[string string string integer number number integer integer boolean]"; fmt.Sprint(types) != want {
		t.Errorf("types are %v, want %s", types, want)
	}
	if c := columns["population"]; c.Min != "94000" || c.Max != "24870000" || c.Nulls != 0 || *c.Mean < 2e6 || *c.Mean > 4e6 {
		t.Errorf("population: %+v", c)
	}
	if c := columns["continent"]; c.Distinct != 6 || c.Top[0].Value != "Asia" || c.TopError != 0 || len(c.Top) != 3 {
		t.Errorf("continent: %+v", c)
	}
	if c := columns["founded"]; c.Min != "-1045" || c.Max != "1979" || c.Nulls == 0 {
		t.Errorf("founded: %+v", c)
	}
}

func TestColumnsAreDescribed(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		values string // one a line
		want   tables.Column
	}{
		"integers":                    {"3\n-1\n+2\n2", tables.Column{Type: "integer", Distinct: 4, Min: "-1", Max: "3", Mean: new(1.5)}},
		"integers with nulls":         {"3\nNULL\n1\n\\N\nnull", tables.Column{Type: "integer", Nulls: 3, Distinct: 2, Min: "1", Max: "3", Mean: new(2.0)}},
		"integers beyond a float":     {"9007199254740993\n9007199254740992\n9007199254740994", tables.Column{Type: "integer", Distinct: 3, Min: "9007199254740992", Max: "9007199254740994", Mean: new(9007199254740992.0)}},
		"negative ones, too":          {"-9007199254740993\n-9007199254740992", tables.Column{Type: "integer", Distinct: 2, Min: "-9007199254740993", Max: "-9007199254740992", Mean: new(-9007199254740992.0)}},
		"numbers":                     {"1\n2.5\n1e1\n.5", tables.Column{Type: "number", Distinct: 4, Min: ".5", Max: "1e1", Mean: new(3.5)}},
		"numbers as large as can be":  {"1.7e308\n-1.7e308\n1.7e308\n1.7e308", tables.Column{Type: "number", Distinct: 2, Min: "-1.7e308", Max: "1.7e308", Mean: new(8.5e307)}},
		"a number beyond any":         {"1\n1e999", tables.Column{Type: "string", Distinct: 2, Min: "1", Max: "1e999"}},
		"what is no number":           {"1\ninf", tables.Column{Type: "string", Distinct: 2, Min: "1", Max: "inf"}},
		"hexadecimals":                {"0x10\n0x20", tables.Column{Type: "string", Distinct: 2, Min: "0x10", Max: "0x20"}},
		"codes with leading zeros":    {"01234\n99999", tables.Column{Type: "string", Distinct: 2, Min: "01234", Max: "99999"}},
		"booleans":                    {"true\nFalse\nTRUE", tables.Column{Type: "boolean", Distinct: 3, Min: "False", Max: "true"}},
		"dates":                       {"2024-02-29\n1999-12-31", tables.Column{Type: "date", Distinct: 2, Min: "1999-12-31", Max: "2024-02-29"}},
		"a date that does not exist":  {"2023-02-29\n1999-12-31", tables.Column{Type: "string", Distinct: 2, Min: "1999-12-31", Max: "2023-02-29"}},
		"timestamps":                  {"2024-01-01T00:00:00+02:00\n2023-12-31 23:00:00\n2024-01-01", tables.Column{Type: "timestamp", Distinct: 3, Min: "2024-01-01T00:00:00+02:00", Max: "2024-01-01"}},
		"timestamps, with fractions":  {"2024-01-01 10:00:00.25\n2024-01-01T10:00:00.5Z", tables.Column{Type: "timestamp", Distinct: 2, Min: "2024-01-01 10:00:00.25", Max: "2024-01-01T10:00:00.5Z"}},
		"text that starts as numbers": {"1\n2\nthree", tables.Column{Type: "string", Distinct: 3, Min: "1", Max: "three"}},
		"Namibia and Nan":             {"NA\nnan\nNaN", tables.Column{Type: "string", Distinct: 3, Min: "NA", Max: "nan"}},
		"spaces around":               {" 1 \n1\n\t2", tables.Column{Type: "integer", Distinct: 2, Min: "1", Max: "2", Mean: new(4.0 / 3)}},
		"nothing at all":              {"NULL\nNULL", tables.Column{Type: "empty", Nulls: 2}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.want.Name = "column"

			got, err := run(t, "column\n"+c.values+"\n", tables.ProfileArgs{})

			if err != nil {
				t.Fatal(err)
			}
			column := got.Columns[0]
			if column.Mean != nil && c.want.Mean != nil && relative(*column.Mean, *c.want.Mean) < 1e-12 {
				column.Mean = c.want.Mean
			}
			column.Top = nil
			if !reflect.DeepEqual(column, c.want) {
				t.Errorf("got  %+v\nwant %+v", column, c.want)
			}
		})
	}
}

func relative(a, b float64) float64 { return max(a-b, b-a) / max(b, -b) }

func TestDelimitersAreFound(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		text, ask string
		want      string
		columns   int
	}{
		"comma":                          {text: "a,b,c\n1,2,3\n", want: ",", columns: 3},
		"tab":                            {text: "a\tb\n1,5\t2\n", want: "\t", columns: 2},
		"semicolon, with decimal commas": {text: "a;b\n1,5;2,5\n3,5;4,5\n", want: ";", columns: 2},
		"bar":                            {text: "a|b\n1|2\n", want: "|", columns: 2},
		"quoted delimiters":              {text: "\"a;b;c\",d\n\"1;2;3\",4\n", want: ",", columns: 2},
		"one column":                     {text: "a\n1\n2\n", want: ",", columns: 1},
		"a byte order mark":              {text: "\ufeff\"a\";b\n1;2\n", want: ";", columns: 2},
		"Windows lines":                  {text: "a,b\r\n1,2\r\n", want: ",", columns: 2},
		"no last line end":               {text: "a,b\n1,2", want: ",", columns: 2},
		"asked for":                      {text: "a,b;c\n1,2;3\n", ask: ";", want: ";", columns: 2},
		"asked for by name":              {text: "a,b\tc\n1,2\t3\n", ask: "tab", want: "\t", columns: 2},
		"asked for by escape":            {text: "a,b\tc\n1,2\t3\n", ask: `\t`, want: "\t", columns: 2},
		"not an ASCII one":               {text: "a¦b\n1¦2\n", ask: "¦", want: "¦", columns: 2},
		"a long first part":              {text: "a,b\n" + strings.Repeat("1,\"x;y\"\n", 50_000), want: ",", columns: 2},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := run(t, c.text, tables.ProfileArgs{Delimiter: c.ask})

			if err != nil || got.Delimiter != c.want || len(got.Columns) != c.columns || !strings.HasPrefix("abc", got.Columns[0].Name[:1]) && c.columns != 2 {
				t.Errorf("got %q, %d columns, %v", got.Delimiter, len(got.Columns), err)
			}
		})
	}
}

func TestFaultsNameTheirLine(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		text string
		args tables.ProfileArgs
		says string
	}{
		"a row too long":       {text: "a,b\n1,2\n1,2,3\n", says: "line 3: the number of fields is 3, in the first row it is 2"},
		"a row too short":      {text: "a,b\n1,2\n\n\"x\ny\",2\n1\n", says: "line 6: the number of fields is 1, in the first row it is 2"},
		"a quote inside":       {text: "a,b\n1,x\"y\"\n", says: "line 2, column 4: a quote inside of a field"},
		"text after a quote":   {text: "a,b\n\"1\"x,2\n", says: "line 2, column 3: a closing quote is missing"},
		"a quote not closed":   {text: "a,b\n1,2\n\"1,2\n3,4\n", says: "line 3: a quoted field begins in this row"},
		"a row without end":    {text: "a,b\n1,2\n\"" + strings.Repeat("x\n", tables.MaxRecordBytes), says: "after line 2 a row is longer than 4194304 bytes"},
		"nothing":              {text: "", says: "the source is empty"},
		"only a mark":          {text: "\ufeff", says: "the source is empty"},
		"UTF-16":               {text: "\xff\xfea\x00", says: "UTF-16"},
		"gzip":                 {text: "\x1f\x8b\x08", says: "gzip"},
		"Excel":                {text: "PK\x03\x04", says: "Excel"},
		"binary":               {text: "a,b\n\x00", says: "zero bytes"},
		"too many columns":     {text: strings.Repeat("a,", 1000) + "a\n", says: "1001 columns, the limit is 1000"},
		"too many top values":  {text: strings.Repeat("a,", 200) + "a\n", args: tables.ProfileArgs{Top: 50}, says: "ask for 49 at most"},
		"top out of range":     {args: tables.ProfileArgs{Top: 101}, says: "top is 101"},
		"a strange delimiter":  {args: tables.ProfileArgs{Delimiter: "ab"}, says: `delimiter is "ab"`},
		"a quote as delimiter": {args: tables.ProfileArgs{Delimiter: `"`}, says: "no quote"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := run(t, c.text, c.args)

			if !seri.IsPermanent(err) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want a permanent error that says %q", err, c.says)
			}
		})
	}
}

func TestProgressCountsBytes(t *testing.T) {
	t.Parallel()
	profiler, _ := newProfiler(t)
	row := strings.Repeat("x", 999) + "\n"
	const rows = 4000 // 4 MB
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(rows*len(row)))
		for range rows {
			io.WriteString(w, row)
		}
	}))
	t.Cleanup(server.Close)
	var reports []seri.ProgressInfo

	got, err := seritest.Run(t, tables.Profile, profiler.Describe, tables.ProfileArgs{Source: server.URL}, seritest.Progress(&reports))

	if err != nil || got.Rows != rows-1 || got.Bytes != rows*1000 {
		t.Fatalf("got %+v, %v", got, err)
	}
	if len(reports) < rows*1000/(64<<10) {
		t.Fatalf("only %d reports", len(reports))
	}
	for i, r := range reports {
		if r.Total != rows*1000 || r.Done > r.Total || i > 0 && r.Done < reports[i-1].Done {
			t.Errorf("report %d: %+v", i, r)
		}
	}
	if last := reports[len(reports)-1]; last.Done != last.Total || last.Message != "3,999 rows" {
		t.Errorf("the last report is %+v", last)
	}
}

func TestABrokenTransferIsTriedAgain(t *testing.T) {
	t.Parallel()
	profiler, _ := newProfiler(t)
	for name, text := range map[string]string{
		"at the beginning":         "a,b\n1,",
		"in the middle":            "a,b\n" + strings.Repeat("1,2\n", 40_000) + "1,",
		"inside of a quote":        "a,b\n" + strings.Repeat("1,2\n", 40_000) + "\"1,",
		"where a field is missing": "a,b\n" + strings.Repeat("1,2\n", 40_000) + "1",
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10000000")
			io.WriteString(w, text)
		}))
		t.Cleanup(server.Close)

		_, err := seritest.Run(t, tables.Profile, profiler.Describe, tables.ProfileArgs{Source: server.URL})

		if err == nil || seri.IsPermanent(err) || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: got %v, want an unexpected end that may be tried again", name, err)
		}
	}
}

func TestARevokedProfileEnds(t *testing.T) {
	t.Parallel()
	profiler, put := newProfiler(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(seri.ErrRevoked)
	source := put("a\n" + strings.Repeat(strings.Repeat("x", 999)+"\n", 2000))

	_, err := seritest.Run(t, tables.Profile, profiler.Describe, tables.ProfileArgs{Source: source}, seritest.Context(ctx))

	if !errors.Is(err, seri.ErrRevoked) || seri.IsPermanent(err) {
		t.Errorf("got %v", err)
	}
}

func ExampleProfile() {
	message, err := tables.Profile.Message(tables.ProfileArgs{
		Source: "https://data.example/orders.csv",
		Top:    3,
	}, seri.Queue("reports"))

	fmt.Println(message.Type, string(message.Payload), err)
	// Output: csv.profile {"source":"https://data.example/orders.csv","top":3} <nil>
}
