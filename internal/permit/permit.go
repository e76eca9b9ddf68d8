// Package permit asks Redis, before anything is written, whether this user may do all that a role does.
//
//	err := permit.Check(ctx, rdb, permit.Need{Scripts: sources, Keys: keys, Commands: others})
//
// Redis checks each command of a script as it comes, under the caller's own rules, and undoes nothing when it refuses one: a
// user who lacks a single permission would leave half of a transition behind. So who lacks one does not start. The commands
// are read out of the scripts themselves, and cannot be forgotten; those that are sent by themselves are listed, and a test runs
// each role as a user that may do nothing else. Redis answers for any user (acl_check_cmd, since 7.0):
// the commands ACL and DEBUG are not needed for it.
//
// It is not promised that permissions stay as they are: what is taken away later is noticed when it is missing.
package permit

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/seri-queue/seri/internal/redisfault"
)

//go:embed permit.lua
var source string

var script = redis.NewScript(source)

// Need is what somebody must be allowed to do.
type Need struct {
	Scripts []string // their sources
	Keys    []string // that they work on
	Channel string   // that they publish to; empty: none
	// Commands are what is sent without a script, each as it is sent: its name and what it is given.
	Commands [][]string
}

// DeniedError tells what a user is not allowed to do.
type DeniedError struct {
	Commands []string // those that are refused whatever the key
	Pairs    []string // "command key" of those that are refused for some keys only
}

// Error implements [error]. It names the first few.
func (e *DeniedError) Error() string {
	const most = 5
	what := slices.Concat(e.Commands, e.Pairs)
	text := strings.Join(what[:min(len(what), most)], ", ")
	if len(what) > most {
		text += fmt.Sprintf(" and %d more", len(what)-most)
	}
	return "Redis denies this user " + text + ": what it does would stop halfway, so nothing is begun; deploy/ecs/acl has the rules that each role needs"
}

// Denied reports whether err tells that this user may not do something: it is a [*DeniedError], or Redis has said so.
func Denied(err error) bool {
	_, found := errors.AsType[*DeniedError](err)
	return found || redisfault.Denied(err)
}

// Check returns a [*DeniedError] if the user of rdb may not do something, and nil if it may do all of it, or if Redis cannot
// tell (the embedded store). Another error means that it is not known.
func Check(ctx context.Context, rdb redis.UniversalClient, need Need) error {
	all := commands(need.Scripts)
	args := []any{need.Channel, len(all), len(need.Keys)}
	for _, arg := range slices.Concat(all, need.Keys) {
		args = append(args, arg)
	}
	for _, command := range need.Commands {
		args = append(args, len(command))
		for _, word := range command {
			args = append(args, word)
		}
	}
	refused, err := script.Run(ctx, rdb, nil, args...).StringSlice()
	switch {
	case redisfault.Denied(err):
		return &DeniedError{Commands: []string{"EVAL and EVALSHA"}}
	case err != nil:
		return fmt.Errorf("ask what this user may do: %w", redisfault.Mark(err))
	case len(refused)%2 != 0:
		return errors.New("ask what this user may do: unexpected reply")
	case len(refused) == 0:
		return nil
	}
	return denied(refused, len(need.Keys))
}

// denied sorts pairs of command and key by what is behind them.
func denied(pairs []string, keys int) error {
	byCommand := make(map[string][]string)
	for pair := range slices.Chunk(pairs, 2) {
		byCommand[pair[0]] = append(byCommand[pair[0]], pair[1])
	}
	e := new(DeniedError)
	for command, of := range byCommand {
		if keys > 0 && len(of) >= keys || of[0] == "" {
			e.Commands = append(e.Commands, command)
			continue
		}
		for _, key := range of {
			e.Pairs = append(e.Pairs, command+" "+key)
		}
	}
	slices.Sort(e.Commands)
	slices.Sort(e.Pairs)
	return e
}

var calls = regexp.MustCompile(`\bp?call\('([A-Z]+)'`)

// commands returns what scripts call, each once.
func commands(sources []string) (all []string) {
	for _, source := range sources {
		for _, match := range calls.FindAllStringSubmatch(source, -1) {
			all = append(all, match[1])
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
