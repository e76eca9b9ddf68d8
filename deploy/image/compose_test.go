package image_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// compose is the part of docker-compose.yml that is looked at here.
type compose struct {
	Services map[string]struct {
		Build       struct{ Context, Target string }
		Environment map[string]string
		ReadOnly    bool     `yaml:"read_only"`
		User        string   `yaml:"user"`
		Drop        []string `yaml:"cap_drop"`
		Stop        string   `yaml:"stop_grace_period"`
		Command     []string
		Volumes     []string
		Health      struct{ Test []string } `yaml:"healthcheck"`
	}
}

// The file for one machine is no poor relation: it runs the same images in the same way.
func TestTheComposeFileFitsTheImages(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("../docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	var c compose
	if err := yaml.Unmarshal(content, &c); err != nil {
		t.Fatal(err)
	}
	dockerfile, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"api", "worker", "beat", "seri"} {
		s := c.Services[name]
		if s.Build.Target != name || !regexp.MustCompile(`(?m)^FROM base AS `+name+`$`).Match(dockerfile) {
			t.Errorf("%s is built as %q", name, s.Build.Target)
		}
		if !s.ReadOnly || s.User != "65532:65532" || !slices.Equal(s.Drop, []string{"ALL"}) || s.Stop != "120s" {
			t.Errorf("%s is not run as on ECS: %+v", name, s)
		}
		if want := []string{"CMD", "/usr/local/bin/" + name, "health"}; name != "seri" && !slices.Equal(s.Health.Test, want) {
			t.Errorf("%s is checked by %q, want %q", name, s.Health.Test, want)
		}
	}
	if command := strings.Join(c.Services["redis"].Command, " "); !strings.Contains(command, "--maxmemory-policy noeviction") || !strings.Contains(command, "--appendonly yes") {
		t.Errorf("redis is started with %q", command)
	}
	if !slices.Equal(c.Services["worker"].Volumes, []string{"files:/data"}) {
		t.Errorf("the worker has the volumes %q", c.Services["worker"].Volumes)
	}
}
