package store

import (
	"context"
	_ "embed"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

//go:embed prelude.lua
var prelude string

// script is a Lua script with the prelude before it.
type script struct {
	name    string
	source  string
	flagged *redis.Script // with the flags that a Redis server honours
	plain   *redis.Script // for the embedded store, which does not know flags
}

// draining makes a script that must run when Redis is out of memory, because it frees some in the end.
func draining(name, source string) *script { return newScript(name, "#!lua flags=allow-oom\n", source) }

// filling makes a script that is refused when Redis is out of memory.
func filling(name, source string) *script { return newScript(name, "#!lua\n", source) }

func newScript(name, flags, source string) *script {
	source = needed(source) + source
	return &script{name: name, source: source, flagged: redis.NewScript(flags + source), plain: redis.NewScript(source)}
}

var (
	declaration = regexp.MustCompile(`(?m)^local (?:function )?([a-z_]+(?:, [a-z_]+)*)`)
	identifier  = regexp.MustCompile(`[a-z_]+`)
)

// paragraph is a part of the prelude between blank lines.
type paragraph struct {
	text           string
	declares, uses []string // names
}

var paragraphs = paragraphsOf(prelude)

func paragraphsOf(source string) (all []paragraph) {
	for text := range strings.SplitAfterSeq(source, "\n\n") {
		p := paragraph{text: text, uses: names(text)}
		for _, declared := range declaration.FindAllStringSubmatch(text, -1) {
			p.declares = append(p.declares, strings.Split(declared[1], ", ")...)
		}
		all = append(all, p)
	}
	return all
}

// names returns what Lua source names, each once.
func names(source string) []string {
	all := identifier.FindAllString(code(source), -1)
	slices.Sort(all)
	return slices.Compact(all)
}

// needed returns the paragraphs of the prelude that a script makes use of, and those that they do. Lua makes a closure of
// every function each time a script runs; for a script about one task, those it does not call would be the dearest part.
func needed(source string) string {
	used := make(map[string]bool)
	use := func(names []string) {
		for _, name := range names {
			used[name] = true
		}
	}
	use(names(source))
	kept := make([]string, len(paragraphs))
	for i, p := range slices.Backward(paragraphs) { // what is used stands before what uses it
		if slices.ContainsFunc(p.declares, func(name string) bool { return used[name] }) {
			kept[i] = p.text
			use(p.uses)
		}
	}
	return strings.Join(kept, "")
}

// code returns Lua source without its comments.
func code(source string) string {
	var b strings.Builder
	for line := range strings.Lines(source) {
		line, _, _ = strings.Cut(line, "--")
		b.WriteString(line + "\n")
	}
	return b.String()
}

// runner runs scripts on one Redis and remembers whether it knows script flags.
type runner struct {
	rdb   redis.UniversalClient
	plain atomic.Bool
}

// hash names s as Redis knows it once it has been run.
func (r *runner) hash(s *script) string {
	if r.plain.Load() {
		return s.plain.Hash()
	}
	return s.flagged.Hash()
}

func (r *runner) run(ctx context.Context, s *script, keys []string, args ...any) *redis.Cmd {
	if r.plain.Load() {
		return s.plain.Run(ctx, r.rdb, keys, args...)
	}
	cmd := s.flagged.Run(ctx, r.rdb, keys, args...)
	if err := cmd.Err(); err != nil && strings.Contains(err.Error(), "near '#'") {
		r.plain.Store(true)
		return s.plain.Run(ctx, r.rdb, keys, args...)
	}
	return cmd
}
