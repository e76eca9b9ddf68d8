package docs_test

import (
	"bytes"
	"context"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/seri-queue/seri/internal/cli"
	"github.com/seri-queue/seri/internal/role"
)

// setting is a flag of a role.
type setting struct{ flag, variable, fallback string }

func settings(t *testing.T, r role.Role) map[string]setting {
	t.Helper()
	parser, err := kong.New(r)
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]setting)
	for _, f := range parser.Model.Flags {
		if f.Name != "help" {
			all["--"+f.Name] = setting{"--" + f.Name, strings.Join(f.Envs, ","), f.Default}
		}
	}
	return all
}

var (
	flagName = regexp.MustCompile(`--[a-z][a-z-]+`)
	variable = regexp.MustCompile(`\bSERI_[A-Z_]+\b`)
	codeSpan = regexp.MustCompile("`([^`\n]+)`")
)

func TestEverySettingIsInTheManualWithItsDefault(t *testing.T) {
	t.Parallel()
	rows := make(map[string]setting)
	for _, cells := range pageNamed(t, "docs/operations.md").table() {
		if len(cells) == 4 && strings.HasPrefix(cells[0], "--") {
			rows[cells[0]] = setting{cells[0], cells[1], cells[2]}
		}
	}
	all := make(map[string]bool)
	for name, r := range map[string]role.Role{"api": new(role.API), "worker": new(role.Worker), "beat": new(role.Beat), "dev": new(role.Dev)} {
		for flag, s := range settings(t, r) {
			all[flag] = true
			row, ok := rows[flag]
			differs := name == "dev" && (flag == "--redis-url" || flag == "--log-level" || flag == "--log-format") // as its section says
			switch {
			case !ok:
				t.Errorf("%s: docs/operations.md has no row for %s", name, flag)
			case row.variable != s.variable:
				t.Errorf("%s: docs/operations.md calls the variable of %s %s; it is %s", name, flag, row.variable, s.variable)
			case row.fallback != s.fallback && !differs:
				t.Errorf("%s: docs/operations.md says that %s is %q by default; it is %q", name, flag, row.fallback, s.fallback)
			}
		}
	}
	commands, variables := commandLine(t)
	for flag, row := range rows {
		if !all[flag] && (!commands[flag] || !variables[row.variable]) {
			t.Errorf("docs/operations.md has a row for %s (%s), which does not exist", flag, row.variable)
		}
	}
}

func TestFlagsAndVariablesExist(t *testing.T) {
	t.Parallel()
	flags, variables := commandLine(t)
	for _, p := range manual(t) {
		var mentioned []string // pieces of text in which a flag is one of ours
		for _, span := range codeSpan.FindAllStringSubmatch(p.text, -1) {
			mentioned = append(mentioned, span[1])
		}
		var whole strings.Builder
		whole.WriteString(p.text)
		for _, b := range p.blocks {
			mentioned = append(mentioned, strings.Split(b.code, "\n")...)
			whole.WriteString(b.code)
		}
		for _, text := range mentioned {
			if !strings.HasPrefix(text, "--") && !strings.HasPrefix(strings.TrimSpace(text), "seri ") {
				continue
			}
			for _, flag := range flagName.FindAllString(text, -1) {
				if !flags[flag] {
					t.Errorf("%s mentions the flag %s, which does not exist", p.name, flag)
				}
			}
		}
		for _, name := range variable.FindAllString(whole.String(), -1) {
			if !variables[name] {
				t.Errorf("%s mentions the variable %s, which does not exist", p.name, name)
			}
		}
	}
}

// commandLine returns every flag of the command line, roles included, and every variable, as its help prints them.
func commandLine(t *testing.T) (flags, variables map[string]bool) {
	t.Helper()
	flags, variables = make(map[string]bool), make(map[string]bool)
	for _, command := range []string{"", "dev", "api", "worker", "beat", "enqueue", "inspect", "revoke", "pause", "resume", "schedule pause", "schedule next", "schedule backfill", "keys", "key", "health", "version"} {
		var out bytes.Buffer
		args := append(strings.Fields(command), "--help")
		if code := cli.Main(context.Background(), args, cli.Streams{In: new(bytes.Buffer), Out: &out, Err: &out}); code != 0 {
			t.Fatalf("seri %s --help: exit code %d: %s", command, code, &out)
		}
		for _, flag := range flagName.FindAllString(out.String(), -1) {
			flags[flag] = true
		}
		for _, name := range variable.FindAllString(out.String(), -1) {
			variables[name] = true
		}
	}
	return flags, variables
}
