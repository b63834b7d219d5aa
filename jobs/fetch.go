package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/store"
)

// Gaps keeps what is missing. It is *store.Store.
type Gaps interface {
	Stored
	// BeginPage notes that a page of a gap is about to be asked for, and returns when, by the database's clock;
	// [tidings.ErrNotFound] when the gap is not open any more.
	BeginPage(ctx context.Context, g store.Gap) (time.Time, error)
	ChannelGaps(ctx context.Context, channel discord.ChannelID) ([]store.Gap, error)
	// AdvanceGap and CloseGap fail with [tidings.ErrLeaseLost] when somebody else has begun a page since g.Asked.
	AdvanceGap(ctx context.Context, g store.Gap, above discord.MessageID) (recovered int, err error)
	CloseGap(ctx context.Context, g store.Gap) (recovered int, err error)
}

// Fetch heals gaps. Its methods are the handlers of [store.FetchMessages], [store.Backfill] and [store.PriorityFetch].
type Fetch struct {
	History History
	Door    Door
	Gaps    Gaps
	Log     *slog.Logger
	// Healed, when set, is told of each gap that was closed, with how many messages were recovered in it.
	Healed func(ctx context.Context, g store.Gap)

	busy sync.Map // channels whose gaps are being read here, for whichever job
}

// errBusy makes a job wait until another one has read the same channel.
var errBusy = errors.New("the channel is being read already")

const (
	// pagesPerTurn is how many pages a job reads before it lets others have their turn.
	pagesPerTurn = 50
	// pagesForReader is how many pages are read at once because somebody opened a channel; the ordinary job does the rest.
	pagesForReader = 5
)

// Handle heals what a channel has missed. The job's key names the channel.
func (f *Fetch) Handle(ctx context.Context, j store.Job) error {
	if _, taken := f.busy.LoadOrStore(j.Key, nil); taken {
		return RetryAfter(errBusy, time.Second)
	}
	defer f.busy.Delete(j.Key)
	return waits(f.channel(ctx, j, pagesPerTurn, func(g store.Gap) bool { return !g.Backfill }))
}

// waits comes back for a gap that somebody else has begun to read meanwhile: they may not read all of it.
func waits(err error) error {
	if errors.Is(err, tidings.ErrLeaseLost) {
		return RetryAfter(errBusy, time.Second)
	}
	return err
}

// Backfill reads the past of a channel that is new here.
func (f *Fetch) Backfill(ctx context.Context, j store.Job) error {
	return waits(f.channel(ctx, j, pagesPerTurn, func(g store.Gap) bool { return g.Backfill }))
}

// Priority heals the newest of whatever is missing, because somebody looks at the channel.
func (f *Fetch) Priority(ctx context.Context, j store.Job) error {
	if _, taken := f.busy.LoadOrStore(j.Key, nil); taken {
		return nil // The newest of it is being read right now.
	}
	defer f.busy.Delete(j.Key)
	err := f.channel(ctx, j, pagesForReader, func(store.Gap) bool { return true })
	if errors.Is(err, ErrYield) || errors.Is(err, tidings.ErrLeaseLost) {
		return nil
	}
	return err
}

// channel heals gaps of the channel that the job's key names, newest first and each from its newest end down. Each page is
// stored before the gap is noted to be shorter, so that it goes on there after a crash.
func (f *Fetch) channel(ctx context.Context, j store.Job, pages int, wanted func(store.Gap) bool) error {
	channel, err := channelOf(j)
	if err != nil {
		return err
	}
	gaps, err := f.Gaps.ChannelGaps(ctx, channel)
	if err != nil {
		return err
	}
	for _, g := range gaps {
		if !wanted(g) || !g.Due {
			continue
		}
		if g.Guild == 0 {
			g.Guild = j.Guild
		}
		if err := final(f.heal(ctx, g, &pages)); err != nil {
			return err
		}
	}
	return nil
}

// channelOf reads a key that is a channel's id.
func channelOf(j store.Job) (discord.ChannelID, error) {
	id, err := strconv.ParseUint(j.Key, 10, 64)
	if err != nil || id == 0 {
		return 0, Dead(fmt.Errorf("%w job: its key %q is not a channel", tidings.ErrInvalid, j.Key))
	}
	return discord.ChannelID(id), nil
}

// final ends a job that the bot is not allowed to do. What it was to do stays written down and is looked at again in an hour.
func final(err error) error {
	if errors.Is(err, tidings.ErrForbidden) || errors.Is(err, tidings.ErrUnauthorized) {
		return Dead(err)
	}
	return err
}

// heal reads one gap.
func (f *Fetch) heal(ctx context.Context, g store.Gap, pages *int) error {
	r := reader{history: f.History, door: f.Door, stored: f.Gaps, begin: func(ctx context.Context) (time.Time, error) {
		asked, err := f.Gaps.BeginPage(ctx, g)
		g.Asked = asked
		return asked, err
	}}
	if g.Rest <= g.From { // The rest was purged, maybe while a page was under way: that page counts no more.
		if _, err := r.begin(ctx); err != nil {
			return ignoreClosed(err)
		}
	}
	for done := false; !done && g.Rest > g.From; {
		if *pages == 0 {
			return ErrYield
		}
		*pages--
		down, last, err := r.page(ctx, g.Guild, g.Channel, g.From, g.Rest+1)
		if err != nil {
			return ignoreClosed(err)
		}
		if done = last; done {
			break
		}
		if _, err := f.Gaps.AdvanceGap(ctx, g, down); err != nil {
			return ignoreClosed(err)
		}
		g.Rest = down
	}
	n, err := f.Gaps.CloseGap(ctx, g)
	if err != nil {
		return ignoreClosed(err)
	}
	g.Recovered = n
	if f.Log != nil {
		f.Log.Info("a gap is healed", "channel", g.Channel, "reason", g.Reason, "recovered", n)
	}
	if f.Healed != nil {
		f.Healed(ctx, g)
	}
	return nil
}

// ignoreClosed lets a gap be that somebody else has closed or read further.
func ignoreClosed(err error) error {
	if errors.Is(err, tidings.ErrNotFound) {
		return nil
	}
	return err
}
