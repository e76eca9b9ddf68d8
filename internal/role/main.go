package role

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

// Role is a process that can be configured and run.
type Role interface {
	// Check reports everything that is wrong with the settings.
	Check() error
	// Run runs until ctx ends. What it has to tell goes to out, its log to log.
	Run(ctx context.Context, out, log io.Writer) error
}

// Main is the main function of a program with a single role: it reads the settings into r and runs it until SIGTERM or
// SIGINT; a second one ends the process at once. Called with the argument "health", it asks the one that runs already.
// It does not return.
func Main(name, description string, r Role) {
	var options struct {
		Role    Role             `embed:""`
		Version kong.VersionFlag `help:"Print the version."`
		Run     struct{}         `cmd:"" default:"1" hidden:""`
		Health  struct{}         `cmd:"" help:"Ask the one that runs here whether it is alive: exit code 0 or 1, and one line."`
	}
	options.Role = r
	parser := kong.Must(&options, Options(name, description)...)
	parsed, err := parser.Parse(os.Args[1:])
	if err != nil {
		Exit(name, err)
	}
	if parsed.Command() == "health" {
		Exit(name, askHealth(context.Background(), r.(asked), os.Stdout))
	}
	Exit(name, Execute(r))
}

// Options are what every command's parser is made with.
func Options(name, description string) []kong.Option {
	return []kong.Option{
		kong.Name(name),
		kong.Description(description + "\n\nA flag with a variable beside it can be set by that environment variable too; the flag wins."),
		kong.Vars{"version": Version()},
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 120}),
		kong.ValueFormatter(describe),
	}
}

// describe returns the help of a flag with its default and its variable, of which kong itself shows the default only in
// place of the unit.
func describe(value *kong.Value) string {
	help := kong.DefaultHelpValueFormatter(value)
	if value.HasDefault && value.Default != "" {
		help += " Default: " + value.Default + "."
	}
	return help
}

// Execute runs a role with the process's signals and outputs.
func Execute(r Role) error {
	if err := r.Check(); err != nil {
		return err
	}
	asked, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, end := context.WithCancel(context.Background())
	defer end()
	context.AfterFunc(asked, func() {
		stop() // first: who has seen that the process stops may count on a second signal to kill it
		end()
	})
	return r.Run(ctx, os.Stdout, os.Stderr)
}

// tellStop writes to the log when ctx ends, which may be long before the process does.
func tellStop(ctx context.Context, logger *slog.Logger) (quiet func() bool) {
	return context.AfterFunc(ctx, func() {
		logger.InfoContext(ctx, "asked to stop; a second signal ends the process at once")
	})
}

// Exit ends the process: with 0, or with a line that says why and 1.
func Exit(name string, err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, complaint(name, err))
		os.Exit(1)
	}
	os.Exit(0)
}

// complaint is what a program says of an error: its name, once, also where the error is of a package of that name.
func complaint(name string, err error) string {
	text := err.Error()
	for {
		rest, again := strings.CutPrefix(text, name+": ")
		if !again {
			return name + ": " + text
		}
		text = rest
	}
}

// release is the version that an image was built as, set by the linker: its build sees neither module nor commit.
var release string

// Version returns the version of the program: that of its image or module, or the commit it was built from.
func Version() string {
	if release != "" {
		return release
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return "devel " + s.Value[:min(12, len(s.Value))]
		}
	}
	return strings.TrimSpace("devel " + info.GoVersion)
}
