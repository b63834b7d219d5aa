package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"golang.org/x/sync/errgroup"

	"tidings"
	"tidings/bot"
	"tidings/ingest"
	"tidings/jobs"
	"tidings/store"
	"tidings/web"
)

// healed is what a gap's healing tells those who see the channel: nothing when nobody can have missed anything in it.
func healed(g store.Gap, access int64) tidings.Result {
	if g.Recovered == 0 || g.Backfill {
		return tidings.Result{}
	}
	return tidings.Result{Recovered: []tidings.Recovered{{Guild: g.Guild, Channel: g.Channel, AccessVersion: access, From: g.From + 1, To: g.To, N: g.Recovered}}}
}

// healingStatus is the part of GET /api/status that says what is missing.
func healingStatus(ctx context.Context, st *store.Store) (*web.HealingStatus, error) {
	h, err := st.Healing(ctx)
	if err != nil {
		return nil, err
	}
	return &web.HealingStatus{
		Gaps: h.Gaps, Pasts: h.Pasts, Messages: h.Messages, Done: h.Done, LeftS: int(h.Left(time.Now()).Seconds()),
	}, nil
}

// backfillCmd is "tidings backfill".
type backfillCmd struct {
	Days    int    `placeholder:"N" help:"How many days back. 0 means HISTORY_DAYS."`
	Guild   string `placeholder:"ID" help:"Only this server's channels."`
	Channel string `placeholder:"ID" help:"Only this channel."`
	Wait    bool   `default:"true" negatable:"" help:"Fetch until all is here. Otherwise it is left to the running service."`
}

func (b backfillCmd) Run(ctx context.Context, c *Config, log *slog.Logger, out *output) error {
	var faults []string
	guild, channel := idOf("guild", b.Guild, &faults), idOf("channel", b.Channel, &faults)
	if b.Days == 0 {
		b.Days = c.HistoryDays
	}
	if b.Days < 0 {
		faults = append(faults, "--days cannot be negative.")
	}
	if c.DiscordToken == "" {
		faults = append(faults, "DISCORD_TOKEN is not set: it is needed to read from Discord.")
	}
	if len(faults) > 0 {
		return usageError{faults}
	}
	return withBackends(ctx, c, log, func(st *store.Store, servers *backends) error {
		// A wrong id would look like a past that is here already.
		for _, of := range [][2]discord.Snowflake{{guild, 0}, {0, channel}} {
			if of == [2]discord.Snowflake{} {
				continue
			}
			if _, err := st.ExportChannels(ctx, discord.GuildID(of[0]), discord.ChannelID(of[1])); errors.Is(err, tidings.ErrNotFound) {
				return errors.New("nothing is known of it")
			} else if err != nil {
				return err
			}
		}
		n, err := st.WantPast(ctx, discord.GuildID(guild), discord.ChannelID(channel), time.Now().Add(-days(b.Days)))
		if err != nil {
			return err
		}
		fmt.Fprintf(out.Out, "%d channels have a past to fetch, %d days back at most (%d are kept)\n", n, b.Days, c.RetentionDays)
		if !b.Wait {
			return nil
		}
		return fetchPasts(ctx, c, st, servers, log, out)
	})
}

// quiet hears of nothing: the hubs of a running service find what has moved by themselves.
type quiet struct{}

func (quiet) Tell(context.Context, tidings.Result) {}

// fetchPasts does the jobs of backfilling in this process, beside whatever service runs, until none is left.
func fetchPasts(ctx context.Context, c *Config, st *store.Store, servers *backends, log *slog.Logger, out *output) error {
	limiter, err := newLimiter(c, servers, log, nil)
	if err != nil {
		return err
	}
	b, err := bot.New(bot.Options{Token: c.DiscordToken, URL: c.DiscordURL, Log: log.With("part", "bot"), Limiter: limiter})
	if err != nil {
		return err
	}
	door := ingest.New(st, quiet{}, ingest.Options{Log: log.With("part", "ingest")})
	fetch := &jobs.Fetch{History: history{b.REST()}, Door: door, Gaps: st}
	work := jobs.New(st, jobs.Options{Log: log.With("part", "jobs"), Poll: time.Second, Name: randomName()})
	work.Handle(store.Backfill, politely(fetch.Backfill), 2)

	outer := ctx
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return door.Run(ctx) })
	g.Go(func() error { return work.Run(ctx) })
	g.Go(func() error {
		defer stop()
		return showProgress(ctx, st, out)
	})
	if err := g.Wait(); err != nil && ctx.Err() == nil {
		return err
	}
	return outer.Err()
}

// showProgress draws a bar until everything is fetched that can be.
func showProgress(ctx context.Context, st *store.Store, out *output) error {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		h, err := st.Healing(ctx)
		if err != nil {
			return err
		}
		const width = 40
		full := int(h.Done * width)
		left := "estimating"
		if d := h.Left(time.Now()); d > 0 {
			left = "about " + d.String() + " left"
		}
		if h.Pasts == 0 {
			fmt.Fprintf(out.Out, "\r[%s] 100%% done%s\n", strings.Repeat("#", width), strings.Repeat(" ", 40))
			return nil
		}
		fmt.Fprintf(out.Out, "\r[%s%s] %3.0f%% %d channels, %s   ", strings.Repeat("#", full), strings.Repeat(".", width-full), h.Done*100, h.Pasts, left)
		stuck, err := st.StuckPasts(ctx)
		if err != nil {
			return err
		}
		if stuck == h.Pasts {
			fmt.Fprintln(out.Out)
			return fmt.Errorf("the past of %d channels cannot be read; \"tidings check\" says what the bot may do", stuck)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
