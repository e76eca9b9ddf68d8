package dashboards_test

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/seri-queue/seri/internal/meter"
)

func read(t *testing.T, name string, into any) {
	t.Helper()
	content, err := os.ReadFile(name)
	if err == nil {
		err = json.Unmarshal(content, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// byName finds a family by the name of one of its series in Prometheus.
func byName(series string) *meter.Family {
	for _, f := range meter.Families {
		for _, ending := range []string{"_bucket", "_sum", "_count"} {
			if f.Kind == meter.Timing && series == f.Name+ending {
				return f
			}
		}
		if f.Kind != meter.Timing && series == f.Name {
			return f
		}
	}
	return nil
}

func TestEveryFigureThatGrafanaShowsExists(t *testing.T) {
	t.Parallel()
	var dashboard struct {
		Panels []struct {
			Type, Title string
			Targets     []struct{ Expr string }
		}
		Templating struct{ List []struct{ Query string } }
	}
	read(t, "grafana.json", &dashboard)
	series := regexp.MustCompile(`\b(seri_[a-z_]+)(\{[^}]*\})?`)
	matcher := regexp.MustCompile(`([a-z_]+)(?:=~|!~|!=|=)"`)
	grouped := regexp.MustCompile(`\bby \(([^)]*)\)`)
	shown := make(map[string]bool)
	check := func(where, expr string) {
		var labels []string // of all figures in the expression
		for _, match := range series.FindAllStringSubmatch(expr, -1) {
			f := byName(match[1])
			if f == nil {
				t.Errorf("%s shows %s, which does not exist", where, match[1])
				continue
			}
			shown[f.Name] = true
			labels = append(labels, f.Labels...)
			for _, label := range matcher.FindAllStringSubmatch(match[2], -1) {
				if !slices.Contains(f.Labels, label[1]) {
					t.Errorf("%s selects %s by %s, which it does not have", where, f.Name, label[1])
				}
			}
		}
		for _, by := range grouped.FindAllStringSubmatch(expr, -1) {
			for label := range strings.SplitSeq(by[1], ", ") {
				if !slices.Contains(append(labels, "le", "job"), label) {
					t.Errorf("%s groups by %s, which no figure in it has", where, label)
				}
			}
		}
	}
	for _, p := range dashboard.Panels {
		if len(p.Targets) == 0 && p.Type != "row" {
			t.Errorf("%s shows nothing", p.Title)
		}
		for _, target := range p.Targets {
			check(p.Title, target.Expr)
		}
	}
	for _, v := range dashboard.Templating.List {
		check("a variable", v.Query)
	}
	if len(shown) < 30 {
		t.Errorf("shows %d figures only; is the file still in the form that is read here?", len(shown))
	}
}

func TestEveryFigureThatCloudWatchShowsExists(t *testing.T) {
	t.Parallel()
	var dashboard struct {
		Widgets []struct {
			Properties struct {
				Title   string
				Metrics [][]json.RawMessage
			}
		}
	}
	read(t, "../ecs/dashboard.json", &dashboard)
	search := regexp.MustCompile(`^SEARCH\('\{Seri,([a-z,]+)\} MetricName="([A-Za-z]+)"', '[A-Za-z0-9]+', 60\)$`)
	shown := make(map[string]bool)
	for _, w := range dashboard.Widgets {
		title := w.Properties.Title
		for _, m := range w.Properties.Metrics {
			var name, dimensions, value string
			if len(m) == 1 {
				var e struct{ Expression string }
				if err := json.Unmarshal(m[0], &e); err != nil {
					t.Fatal(err)
				}
				parts := search.FindStringSubmatch(e.Expression)
				if parts == nil {
					t.Errorf("%s: %s is not in the form that is read here", title, e.Expression)
					continue
				}
				name, dimensions = parts[2], parts[1]
			} else {
				for i, to := range []*string{new(string), &name, &dimensions, &value} {
					if err := json.Unmarshal(m[i], to); err != nil {
						t.Fatal(err)
					}
				}
			}
			i := slices.IndexFunc(meter.Families, func(f *meter.Family) bool { return f.CloudWatch == name })
			if i < 0 {
				t.Errorf("%s shows %s, which does not exist", title, name)
				continue
			}
			f := meter.Families[i]
			shown[name] = true
			want := strings.Join(f.Labels, ",")
			if want == "" {
				want = "role"
			}
			if dimensions != want || value != "" && value != f.By && f.By != "all" {
				t.Errorf("%s shows %s by %s %s, but it is told by %s of %s", title, name, dimensions, value, want, f.By)
			}
		}
	}
	if len(shown) < 25 {
		t.Errorf("shows %d figures only; is the file still in the form that is read here?", len(shown))
	}
}

// What alarms and scaling are built on is named in Terraform's files.
func TestEveryFigureThatAlarmsAreAboutExists(t *testing.T) {
	t.Parallel()
	named := regexp.MustCompile(`namespace\s*= "Seri"\s+metric_name\s*= "(\w+)"\s+dimensions?\s*(?:= \{ (\w+) =|\{\s*name\s*= "(\w+)")`)
	found := 0
	for _, name := range []string{"../ecs/alarms.tf", "../ecs/scaling.tf"} {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if all := strings.Count(string(content), `= "Seri"`); all != len(named.FindAllSubmatch(content, -1)) {
			t.Errorf("%s has %d figures of Seri's, in another form than is read here", name, all)
		}
		for _, match := range named.FindAllStringSubmatch(string(content), -1) {
			found++
			i := slices.IndexFunc(meter.Families, func(f *meter.Family) bool { return f.CloudWatch == match[1] })
			if i < 0 {
				t.Errorf("%s is about %s, which does not exist", name, match[1])
				continue
			}
			label := "role"
			if labels := meter.Families[i].Labels; len(labels) > 0 {
				label = labels[0]
			}
			if match[2]+match[3] != label {
				t.Errorf("%s: %s has the dimension %s, not %s", name, match[1], label, match[2]+match[3])
			}
		}
	}
	if found < 6 {
		t.Errorf("found %d alarms only", found)
	}
}
