// Command tidings is the whole service in one binary: one unread feed over every Discord channel that a person may read.
//
// Read run.go next: it puts the rooms together, in the order in which a message goes through them.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
	"github.com/redis/go-redis/v9"
)

// version is set by the release build.
var version = "dev"

// cli is the command line: what all commands share, and the commands.
type cli struct {
	Config

	Serve    serveCmd    `cmd:"" help:"Run the service."`
	Demo     demoCmd     `cmd:"" help:"Run the service beside a simulated Discord with a lively community; needs no account."`
	Sim      simCmd      `cmd:"" help:"Run only the simulated Discord."`
	Migrate  migrateCmd  `cmd:"" help:"Bring the database to this version's schema and exit. serve does it too."`
	Check    checkCmd    `cmd:"" help:"Test every credential, intent and server that the service needs, and print the bot's invite link."`
	Token    tokenCmd    `cmd:"" help:"Make bearer tokens for the API."`
	Backfill backfillCmd `cmd:"" help:"Fetch the past of channels, with a progress bar."`
	Export   exportCmd   `cmd:"" help:"Write what is kept of a server's or a channel's messages, for operators."`
	Purge    purgeCmd    `cmd:"" help:"Delete what is kept of a server's, a channel's or a person's messages."`
	Reseal   resealCmd   `cmd:"" help:"Encrypt tokens and secrets under ENCRYPTION_KEY that are under one of OLD_ENCRYPTION_KEYS."`
	Health   healthCmd   `cmd:"" help:"Ask a running service whether it is ready; exit code 0 when it is."`

	Version kong.VersionFlag `help:"Print the version."`
}

// Exit codes, as people expect them.
const (
	exitFailure = 1
	exitUsage   = 2 // it will fail again until somebody changes a setting, here or at Discord
)

func main() {
	// The second signal ends the process at once, for those who do not want to wait for the first to drain.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is main without the process around it, so that tests can call it.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) (code int) {
	var c cli
	exited := -1
	parser, err := kong.New(&c,
		kong.Name("tidings"),
		kong.Description("One unread feed over every Discord channel that you may read."),
		kong.UsageOnError(),
		kong.Vars{"version": version},
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { exited = code; panic(exitPanic{}) }),
	)
	if err != nil {
		fmt.Fprintln(stderr, "tidings:", err)
		return exitFailure
	}
	defer func() { // kong leaves --help and --version through Exit
		if r := recover(); r != nil {
			if _, ok := r.(exitPanic); !ok {
				panic(r)
			}
			code = exited
		}
	}()
	if len(args) == 0 {
		args = []string{"--help"}
	}
	var unread []string
	for _, flag := range parser.Model.Flags {
		if len(flag.Tag.Envs) > 0 {
			flag.Mapper = setting{flag.Mapper, &unread}
		}
	}
	k, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(stderr, "tidings: %v\nRun \"tidings --help\" for what there is.\n", err)
		return exitUsage
	}
	if len(unread) > 0 {
		if k.Command() == "serve" {
			unread = append(unread, c.faults()...)
		}
		fmt.Fprintf(stderr, "tidings: %v\n", usageError{unread})
		return exitUsage
	}
	log := newLogger(stderr, c.Config)
	redis.SetLogger(redisLog{log.With("part", "redis")})
	k.BindTo(ctx, (*context.Context)(nil))
	k.Bind(&c.Config, log, &output{stdout, stderr})
	if err := k.Run(); err != nil {
		if errors.As(err, new(usageError)) || errors.As(err, new(refusedError)) {
			fmt.Fprintf(stderr, "tidings: %v\n", err)
			return exitUsage
		}
		if ctx.Err() != nil && errors.Is(err, context.Canceled) {
			return 0
		}
		fmt.Fprintf(stderr, "tidings: %v\n", err)
		return exitFailure
	}
	return 0
}

type exitPanic struct{}

// output is where a command prints what it was asked for; the log goes to Err.
type output struct{ Out, Err io.Writer }

// usageError is a fault of the configuration, found before anything was started.
type usageError struct{ faults []string }

func (e usageError) Error() string {
	if len(e.faults) == 1 {
		return e.faults[0]
	}
	return fmt.Sprintf("%d settings need attention:\n  - %s", len(e.faults), strings.Join(e.faults, "\n  - "))
}

// refusedError is that Discord does not let the bot in: trying again makes nothing better, and is counted by Discord.
type refusedError struct{ error }

func (e refusedError) Unwrap() error { return e.error }

// redisLog takes what go-redis would print on its own. Each room says once when Redis is away; the pool says it at every try.
type redisLog struct{ log *slog.Logger }

func (l redisLog) Printf(_ context.Context, format string, v ...any) {
	l.log.Debug(fmt.Sprintf(format, v...))
}

func newLogger(w io.Writer, c Config) *slog.Logger {
	o := &slog.HandlerOptions{Level: c.LogLevel}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}
