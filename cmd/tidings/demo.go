package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"tidings/sim"
)

// simCmd is "tidings sim".
type simCmd struct {
	Seed string `type:"existingfile" placeholder:"FILE" help:"A chat file (JSON lines, gzip or not) to load at the start."`
	Rand uint64 `help:"Fixes chance; 0 leaves it free."`
	Demo bool   `help:"Begin with the demo's lively community."`
}

func (cmd simCmd) Run(ctx context.Context, c *Config, log *slog.Logger, out *output) error {
	if _, _, err := net.SplitHostPort(c.listen()); err != nil {
		return usageError{[]string{fmt.Sprintf("LISTEN %q is not host:port.", c.Listen)}}
	}
	o := sim.Options{Log: log.With("part", "sim"), Rand: cmd.Rand, OnReplay: newProgress(out.Err, time.Now).show}
	if cmd.Demo {
		o.World = "demo"
	}
	if cmd.Seed != "" {
		f, err := os.Open(cmd.Seed)
		if err != nil {
			return err
		}
		defer f.Close()
		o.Seed = f
	}
	l, err := net.Listen("tcp", cmp.Or(c.Listen, "127.0.0.1:8090"))
	if err != nil {
		return fmt.Errorf("%w; choose another address with --listen", err)
	}
	s := sim.New(o)
	bot := s.Bot()
	fmt.Fprintf(out.Out, "a simulated Discord is at http://%s\n\n  DISCORD_URL=http://%s\n  DISCORD_TOKEN=%s\n  DISCORD_CLIENT_ID=%s\n  DISCORD_CLIENT_SECRET=%s\n  DISCORD_PUBLIC_KEY=%s\n\neverybody and everything in it: http://%s/sim/world\n",
		l.Addr(), l.Addr(), bot.Token, bot.ClientID, bot.ClientSecret, bot.PublicKey, l.Addr())
	return runSim(ctx, s, l)
}

// runSim serves a simulator until ctx ends.
func runSim(ctx context.Context, s *sim.Sim, l net.Listener) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.Run(ctx) })
	g.Go(func() error {
		server := &http.Server{Handler: s.Handler(), ReadHeaderTimeout: 10 * time.Second}
		return serveHTTP(ctx, server, l)
	})
	return g.Wait()
}

// demoCmd is "tidings demo".
type demoCmd struct{}

func (demoCmd) Run(ctx context.Context, c *Config, log *slog.Logger, out *output) error {
	if faults := c.serverFaults(); len(faults) > 0 {
		return usageError{faults}
	}
	if err := os.MkdirAll(c.DataDir, 0o755); err != nil {
		return fmt.Errorf("make DATA_DIR: %w; choose another with DATA_DIR=…", err)
	}
	l, err := listenAsBefore(filepath.Join(c.DataDir, "demo-port"))
	if err != nil {
		return err
	}
	discord := sim.New(sim.Options{
		// Most people are in two of the five servers; who looks should see something move within seconds.
		World: "demo", Pace: 700 * time.Millisecond, StatePath: filepath.Join(c.DataDir, "demo-discord.json"), BaseURL: "http://" + l.Addr().String(), Log: log.With("part", "sim"),
	})
	bot := discord.Bot()
	demo := *c
	demo.DiscordURL = "http://" + l.Addr().String()
	demo.DiscordToken, demo.DiscordClientID, demo.DiscordClientSecret = bot.Token, bot.ClientID.String(), bot.ClientSecret

	// The simulated Discord goes last, so that the service can end its session in good order.
	simCtx, stopSim := context.WithCancel(context.WithoutCancel(ctx))
	defer stopSim()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		err := runSim(simCtx, discord, l)
		if err == nil && simCtx.Err() == nil {
			err = errors.New("the simulated Discord ended")
		}
		return err
	})
	g.Go(func() error {
		defer stopSim()
		return serve(ctx, &demo, log, func(url string) { welcome(out.Out, url) })
	})
	return g.Wait()
}

func welcome(w io.Writer, url string) {
	fmt.Fprintf(w, `
  Tidings is at  %s

  Choose "Sign in with Discord", choose who to be, and watch the counts move.
  Ctrl-C ends it; the next start goes on with the same data.

`, url)
}

// listenAsBefore listens on the loopback port that a file names, so that the demo's Discord has the same address each time
// and the pages that a browser has open stay right; on any free one when there is none or another program has it.
func listenAsBefore(path string) (net.Listener, error) {
	if text, err := os.ReadFile(path); err == nil {
		if port, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 16); err == nil {
			if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
				return l, nil
			}
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	if err := os.WriteFile(path, []byte(port+"\n"), 0o644); err != nil {
		l.Close()
		return nil, fmt.Errorf("write into DATA_DIR: %w; choose another with DATA_DIR=…", err)
	}
	return l, nil
}
