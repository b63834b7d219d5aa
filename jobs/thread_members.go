package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/store"
)

// ThreadLook asks Discord about threads. It is bot's REST. [tidings.ErrNotFound] is Discord's word that the thread does not exist,
// [tidings.ErrForbidden] that the bot may not see it, or not who is in it.
type ThreadLook interface {
	// ThreadMembers lists who is in a thread. It needs the Server Members Intent.
	ThreadMembers(ctx context.Context, thread discord.ChannelID) ([]discord.UserID, error)
	// InThread reports whether one person is in a thread.
	InThread(ctx context.Context, thread discord.ChannelID, user discord.UserID) (bool, error)
	// Channel describes a thread.
	Channel(ctx context.Context, thread discord.ChannelID) (tidings.Channel, error)
}

// ThreadReads says of which private threads it is not known who is in them. It is *store.Store.
type ThreadReads interface {
	DoubtedThreads(ctx context.Context, g discord.GuildID) ([]discord.ChannelID, error)
	WatchThread(ctx context.Context, g discord.GuildID, thread discord.ChannelID) (events int64, known bool, err error)
	MembersIn(ctx context.Context, g discord.GuildID) ([]discord.UserID, error)
}

const (
	// threadTries bounds how often one thread is asked about again because something was told of its members meanwhile.
	threadTries = 5
	// maxAskedOne is of how many people it is asked one by one who is in a thread, where all of it may not be listed. Nobody else
	// sees it.
	maxAskedOne = 200
)

// ReadThreadMembers is the handler of [store.ReadThreadMembers].
func ReadThreadMembers(look ThreadLook, s ThreadReads, door Door, log *slog.Logger) Handler {
	return func(ctx context.Context, j store.Job) error {
		g, err := guildOf(j)
		if err != nil {
			return err
		}
		threads, err := s.DoubtedThreads(ctx, g)
		if err != nil {
			return err
		}
		r := threadReader{look: look, reads: s, door: door, guild: g}
		var failed error
		for _, thread := range threads {
			err := r.read(ctx, thread)
			switch {
			case err == nil:
			case errors.Is(err, tidings.ErrNotFound), errors.Is(err, tidings.ErrForbidden):
				// It went, which is found out elsewhere, or is closed to the bot: nobody's place in it is known, and it is asked about
				// again when it opens.
				log.Debug("who is in a private thread cannot be asked", "guild", g, "thread", thread, "err", err)
			case ctx.Err() != nil:
				return err
			default:
				failed = errors.Join(failed, err) // The others do not wait for it.
			}
		}
		return failed
	}
}

func guildOf(j store.Job) (discord.GuildID, error) {
	id, err := strconv.ParseUint(j.Key, 10, 64)
	if err != nil || id == 0 {
		return 0, Dead(fmt.Errorf("%w job: its key %q is not a guild", tidings.ErrInvalid, j.Key))
	}
	return discord.GuildID(id), nil
}

// threadReader asks who is in a guild's private threads.
type threadReader struct {
	look  ThreadLook
	reads ThreadReads
	door  Door
	guild discord.GuildID
	// people are the signed-in members, once it has turned out that lists are refused.
	people []discord.UserID
	one    bool
}

// read settles one thread: its events are counted before Discord is asked, and when one came meanwhile it is asked again.
func (r *threadReader) read(ctx context.Context, thread discord.ChannelID) error {
	for range threadTries {
		events, known, err := r.reads.WatchThread(ctx, r.guild, thread)
		if err != nil || known {
			return err
		}
		read := tidings.ThreadMembersRead{Thread: thread, Events: events}
		if read.Members, read.Of, err = r.ask(ctx, thread); err != nil {
			return err
		}
		ev := tidings.Event{Source: tidings.SourceBackfill, Guild: r.guild, Channel: thread, At: time.Now(), Body: read}
		if err := r.door.Commit(ctx, ev); err != nil {
			return err
		}
	}
	_, known, err := r.reads.WatchThread(ctx, r.guild, thread)
	if err != nil || known {
		return err
	}
	return RetryAfter(fmt.Errorf("thread %d: its members changed with every try: %w", thread, tidings.ErrUnavailable), 5*time.Second)
}

// ask lists who is in a thread; of is nil when these are all.
func (r *threadReader) ask(ctx context.Context, thread discord.ChannelID) (in, of []discord.UserID, err error) {
	if !r.one {
		in, err = r.look.ThreadMembers(ctx, thread)
		if !errors.Is(err, tidings.ErrForbidden) {
			return in, nil, err
		}
	}
	if r.people == nil {
		people, err := r.reads.MembersIn(ctx, r.guild)
		if err != nil {
			return nil, nil, err
		}
		r.people = people[:min(len(people), maxAskedOne)]
	}
	of = []discord.UserID{}
	for _, u := range r.people {
		is, err := r.look.InThread(ctx, thread, u)
		if err != nil {
			return nil, nil, err
		}
		of = append(of, u)
		if is {
			in = append(in, u)
		}
	}
	r.one = r.one || len(of) > 0 // It is the list that is refused, not the thread.
	return in, of, nil
}

// RecheckThreadsKind is the kind of the timetable's job that has the members of all active private threads asked for again.
const RecheckThreadsKind = "recheck-threads"

// ThreadRechecker is *store.Store.
type ThreadRechecker interface {
	RecheckThreads(ctx context.Context) (int, error)
}

// RecheckThreads is the handler of [RecheckThreadsKind].
func RecheckThreads(s ThreadRechecker, log *slog.Logger) Handler {
	return func(ctx context.Context, _ store.Job) error {
		n, err := s.RecheckThreads(ctx)
		if n > 0 {
			log.Debug("members of private threads are asked for again", "threads", n)
		}
		return err
	}
}
