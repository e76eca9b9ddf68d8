package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/alecthomas/kong"

	"github.com/seri-queue/seri/internal/cli/term"
	"github.com/seri-queue/seri/internal/role"
)

// Streams are where a command reads and writes.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// command is a command that does something and ends; the others are roles.
type command interface {
	Run(ctx context.Context, std Streams) error
}

// commands are all there are, with their flags.
type commands struct {
	Dev    role.Dev    `cmd:"" group:"Roles" help:"Api, worker and beat in one process, on a store that needs no installation."`
	API    role.API    `cmd:"" name:"api" group:"Roles" help:"Serve HTTP: tasks in, live events out."`
	Worker role.Worker `cmd:"" group:"Roles" help:"Run tasks."`
	Beat   role.Beat   `cmd:"" group:"Roles" help:"Enqueue tasks on a schedule."`

	Enqueue enqueueCommand `cmd:"" group:"Tasks" help:"Enqueue a task, and wait for it if asked to."`
	Inspect inspectCommand `cmd:"" group:"Tasks" help:"Show the queues, the tasks of a queue, or one task."`
	Revoke  revokeCommand  `cmd:"" group:"Tasks" help:"Withdraw a task, also while it runs."`
	Pause   pauseCommand   `cmd:"" group:"Tasks" help:"Keep workers from taking tasks out of a queue."`
	Resume  resumeCommand  `cmd:"" group:"Tasks" help:"End a pause."`

	Schedule   scheduleCommand   `cmd:"" group:"Operation" help:"Show the schedules, change them, pause them, run them by hand."`
	Keys       keysCommand       `cmd:"" group:"Operation" help:"Show every kind of Redis key that Seri uses, or audit a live Redis."`
	Partitions partitionsCommand `cmd:"" group:"Operation" help:"Show how queues are divided, or change it."`
	Key        keyCommand        `cmd:"" group:"Operation" help:"Make an API key."`
	Health     healthCommand     `cmd:"" group:"Operation" help:"Ask a role that runs on this machine whether it is alive: exit code 0 or 1."`
	Version    versionCommand    `cmd:"" group:"Operation" help:"Print the version."`
}

const description = "Seri runs tasks in the background and shows them live."

// exitInterrupted is what shells expect of a command that was ended by Ctrl-C.
const exitInterrupted = 130

// Main runs the command that args name until it has ended, or until ctx ends, and returns the exit code of the process.
func Main(ctx context.Context, args []string, std Streams) (code int) {
	if len(args) == 0 {
		args = []string{"--help"}
	}
	code = -1
	options := append(role.Options("seri", description), kong.Writers(std.Out, std.Err), kong.Exit(func(c int) { code = c }))
	var all struct {
		commands
		ShowVersion kong.VersionFlag `name:"version" help:"Print the version."`
	}
	parser, err := kong.New(&all, options...)
	if err != nil {
		panic(err) // the flags of commands contradict each other
	}
	parsed, err := parser.Parse(args)
	if code >= 0 { // it was asked for help, and has given it
		return code
	}
	if err != nil {
		fmt.Fprintf(std.Err, "seri: %s; see seri --help\n", term.Line(err.Error()))
		return 1
	}
	if err := run(ctx, parsed.Selected().Target.Addr().Interface(), std); err != nil {
		_, told := errors.AsType[*interruptedError](err)
		interrupted := told || errors.Is(err, context.Canceled) && ctx.Err() != nil
		if interrupted && !told {
			err = errors.New("interrupted")
		}
		fmt.Fprintf(std.Err, "seri: %v\n", err)
		if interrupted {
			return exitInterrupted
		}
		return 1
	}
	return 0
}

func run(ctx context.Context, selected any, std Streams) error {
	if r, ok := selected.(role.Role); ok {
		if err := r.Check(); err != nil {
			return err
		}
		return r.Run(ctx, std.Out, std.Err)
	}
	return selected.(command).Run(ctx, std)
}

// interruptedError tells what the person who has pressed Ctrl-C should know.
type interruptedError struct{ text string }

func (e *interruptedError) Error() string { return e.text }
