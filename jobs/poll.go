package jobs

import (
	"context"
	"encoding/json"
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

// Scout looks at guilds through Discord's REST API. It is bot's REST.
type Scout interface {
	Guilds(ctx context.Context) ([]tidings.Guild, error)
	Guild(ctx context.Context, g discord.GuildID) (tidings.Guild, []tidings.Role, error)
	// Channels lists all of a guild's channels, and ActiveThreads the threads that are not archived, each with the newest
	// message that Discord knows of.
	Channels(ctx context.Context, g discord.GuildID) ([]tidings.Channel, error)
	ActiveThreads(ctx context.Context, g discord.GuildID) ([]tidings.Channel, error)
	// Self is the bot's own membership, by which it may read channels or not.
	Self(ctx context.Context, g discord.GuildID) (*tidings.Member, error)
}

// PollStore keeps when guilds were looked at, and opens gaps where there is news. It is *store.Store.
type PollStore interface {
	GuildPolls(ctx context.Context) ([]store.GuildPoll, error)
	SavePoll(ctx context.Context, g discord.GuildID, learned, moved bool) error
	ForgetPoll(ctx context.Context, g discord.GuildID) error
	GuildState(ctx context.Context, g discord.GuildID) (*tidings.GuildState, error)
	OpenNews(ctx context.Context, guild discord.GuildID, heads map[discord.ChannelID]discord.MessageID, horizon discord.MessageID, history bool, reason string) (moved int, err error)
	Enqueue(ctx context.Context, jobs ...store.NewJob) (fresh int, err error)
	// Clock is the database's time, by which it notes doubts about a guild.
	Clock(ctx context.Context) (time.Time, error)
}

// PollKind is the kind of the timetable's job that decides which guilds are looked at now.
const PollKind = "poll"

// Poll finds news without the gateway: two requests a guild tell the newest message of each of its channels and threads, and
// only channels that moved are read. It cannot see edits and deletes.
//
// Where it is the only source it looks at every guild with each tick, and also learns guilds, roles and channels. Beside the
// gateway it looks at guilds whose shard nobody holds, and at the others as a slow audit.
type Poll struct {
	Scout Scout
	Store PollStore
	Door  Door
	Log   *slog.Logger
	// Alone says that there is no gateway.
	Alone bool
	// Audit is how often a guild is looked at although the gateway is well. 0 means ten minutes, or as much more as it takes to
	// keep to one request a second for all guilds.
	Audit time.Duration
	// HistoryDays is how far back messages of a channel are fetched of which none is known, where there is no gateway; 0 means
	// from when the guild was seen first. Nothing older than RetentionDays is fetched.
	HistoryDays, RetentionDays int
	// Began is when this process started: for a while after it, shards that nobody holds are about to be taken up.
	Began time.Time
	// Budget is how many requests one tick may lead to; 0 means 1,000. Guilds that do not fit go first with the next.
	Budget int

	mu      sync.Mutex
	learned map[discord.GuildID]time.Time // here, so that a job which was asked for while it ran does not learn twice
	listed  time.Time                     // when the bot's guilds were asked for last
	self    map[discord.GuildID]*tidings.Member
}

const (
	// relearn is how often a guild's roles, and the bot's own, are asked for when no gateway tells of changes.
	relearn = 15 * time.Minute
	// auditGrace keeps an audit from taking a message for missing that the gateway is just delivering.
	auditGrace = time.Minute
	maxSelves  = 10_000
	// takeUp is how long the shards may take to be taken up after a start.
	takeUp = time.Minute
)

// PollReason says why a guild is looked at, in the job's payload.
type PollReason string

// The reasons to look at a guild.
const (
	PollAudit PollReason = ""      // the gateway is well
	PollDown  PollReason = "down"  // nobody holds the guild's shard
	PollAlone PollReason = "alone" // there is no gateway
)

type pollPayload struct {
	Reason PollReason `json:"reason,omitempty"`
	Learn  bool       `json:"learn,omitempty"` // the guild's roles too
}

// PollJob is the job that looks at one guild, and learns all of it where learn says so.
func PollJob(g discord.GuildID, why PollReason, learn bool) store.NewJob {
	j := store.NewJob{Kind: store.PollGuild, Key: g.String(), Guild: g, Payload: pollPayload{why, learn}, Tries: 3}
	if why != PollAudit {
		j.Priority = 2
	}
	return j
}

// Tick is the handler of [PollKind].
func (p *Poll) Tick(ctx context.Context, _ store.Job) error {
	polls, err := p.Store.GuildPolls(ctx)
	if err != nil {
		return err
	}
	if p.Alone {
		if polls, err = p.discover(ctx, polls); err != nil {
			return err
		}
	}
	left := p.Budget
	if left <= 0 {
		left = 1000
	}
	var due []store.NewJob
	for _, g := range polls {
		why, ok := p.due(g, len(polls))
		if !ok {
			continue
		}
		if left -= 2; left < 0 {
			break
		}
		due = append(due, PollJob(g.Guild, why, g.Learned >= relearn.Seconds()))
	}
	if len(due) == 0 {
		return nil
	}
	_, err = p.Store.Enqueue(ctx, due...)
	return err
}

// due decides whether a guild is looked at now.
func (p *Poll) due(g store.GuildPoll, guilds int) (PollReason, bool) {
	if p.Alone {
		// Where nothing has happened for long, little is lost by looking less often: a fiftieth of the quiet time, up to ten
		// minutes. It begins to matter after hours.
		stretch := min(g.Moved/50, 600)
		if g.Moved < 2*3600 {
			stretch = 0
		}
		return PollAlone, g.Polled >= stretch
	}
	if !g.Known {
		return "", false
	}
	if !g.Held {
		return PollDown, time.Since(p.Began) >= takeUp
	}
	audit := p.Audit
	if audit <= 0 {
		audit = max(10*time.Minute, time.Duration(guilds)*2*time.Second)
	}
	return PollAudit, g.Polled >= audit.Seconds()
}

// discover asks from time to time in which guilds the bot is, since no gateway says it. A guild that is not listed any more is
// asked for by itself before it counts as left.
func (p *Poll) discover(ctx context.Context, polls []store.GuildPoll) ([]store.GuildPoll, error) {
	p.mu.Lock()
	fresh := time.Since(p.listed) < relearn
	p.mu.Unlock()
	if fresh {
		return polls, nil
	}
	listed, err := p.Scout.Guilds(ctx)
	if err != nil {
		return nil, err
	}
	in := map[discord.GuildID]bool{}
	for _, g := range listed {
		in[g.ID] = true
	}
	var now []store.GuildPoll
	for _, g := range polls {
		if in[g.Guild] {
			delete(in, g.Guild)
			now = append(now, g)
			continue
		}
		gone, err := p.left(ctx, g.Guild)
		if err != nil {
			return nil, err
		}
		if !gone {
			now = append(now, g)
		}
	}
	for g := range in {
		now = append(now, store.GuildPoll{Guild: g, Polled: 1e9, Learned: 1e9})
	}
	p.mu.Lock()
	p.listed = time.Now()
	p.mu.Unlock()
	return now, nil
}

// left asks whether the bot has left a guild, and notes it when it has.
func (p *Poll) left(ctx context.Context, g discord.GuildID) (bool, error) {
	_, _, err := p.Scout.Guild(ctx, g)
	if err == nil {
		return false, nil
	}
	if !errors.Is(err, tidings.ErrNotFound) && !errors.Is(err, tidings.ErrForbidden) {
		return false, err
	}
	p.Log.Info("the bot has left a guild", "guild", g)
	ev := tidings.Event{Source: tidings.SourcePoll, Guild: g, At: time.Now(), Body: tidings.GuildGone{}}
	if err := p.Door.Commit(ctx, ev); err != nil {
		return false, err
	}
	return true, p.Store.ForgetPoll(ctx, g)
}

// Guild is the handler of [store.PollGuild].
func (p *Poll) Guild(ctx context.Context, j store.Job) error {
	id, err := strconv.ParseUint(j.Key, 10, 64)
	if err != nil || id == 0 {
		return Dead(fmt.Errorf("%w job: its key %q is not a guild", tidings.ErrInvalid, j.Key))
	}
	g := discord.GuildID(id)
	var payload pollPayload
	if err := json.Unmarshal(j.Payload, &payload); err != nil {
		return Dead(fmt.Errorf("%w job: its payload: %w", tidings.ErrInvalid, err))
	}
	why, now := payload.Reason, time.Now()
	state, learned, err := p.look(ctx, g, payload)
	switch {
	case errors.Is(err, tidings.ErrNotFound), errors.Is(err, tidings.ErrForbidden):
		// The bot was removed, or the guild is out. The gateway tells which, or the next list of guilds.
		p.mu.Lock()
		p.listed = time.Time{}
		delete(p.self, g)
		p.mu.Unlock()
		return p.Store.SavePoll(ctx, g, false, false)
	case err != nil:
		return err
	}
	heads, err := p.heads(ctx, state, why, now)
	if err != nil {
		return err
	}
	horizon, history := store.Horizon(p.RetentionDays, now), why == PollAlone && p.HistoryDays > 0
	if history {
		horizon = max(horizon, store.Horizon(p.HistoryDays, now))
	}
	moved, err := p.Store.OpenNews(ctx, g, heads, horizon, history, "polling found news")
	if err != nil {
		return err
	}
	if moved > 0 && why == PollAudit {
		p.Log.Warn("polling found what the gateway has not told", "guild", g, "channels", moved)
	}
	return p.Store.SavePoll(ctx, g, learned, moved > 0)
}

// look asks for a guild's channels and threads. Without a gateway what it sees is stored as the guild's state, and now and then
// its roles are asked for as well.
func (p *Poll) look(ctx context.Context, g discord.GuildID, how pollPayload) (state *tidings.GuildState, learned bool, err error) {
	// What is shown below is no newer than this: what is doubted meanwhile stays so.
	began, err := p.Store.Clock(ctx)
	if err != nil {
		return nil, false, err
	}
	state, err = p.Store.GuildState(ctx, g)
	if err != nil && !errors.Is(err, tidings.ErrNotFound) {
		return nil, false, err
	}
	unknown := errors.Is(err, tidings.ErrNotFound)
	alone := how.Reason == PollAlone
	if unknown && !alone {
		return nil, false, err
	}
	p.mu.Lock()
	fresh := time.Since(p.learned[g]) < relearn/2
	p.mu.Unlock()
	if alone && (unknown || how.Learn && !fresh) {
		guild, roles, err := p.Scout.Guild(ctx, g)
		if err != nil {
			return nil, false, err
		}
		state, learned = &tidings.GuildState{Guild: guild, Roles: roles}, true
		p.mu.Lock()
		if p.learned == nil || len(p.learned) >= maxSelves {
			p.learned = map[discord.GuildID]time.Time{}
		}
		p.learned[g] = time.Now()
		delete(p.self, g)
		p.mu.Unlock()
	}
	channels, err := p.Scout.Channels(ctx, g)
	if err != nil {
		return nil, false, err
	}
	threads, err := p.Scout.ActiveThreads(ctx, g)
	if err != nil {
		return nil, false, err
	}
	if alone {
		seen := tidings.GuildSeen{Guild: state.Guild, Channels: channels, Threads: threads}
		if learned { // Those that are stored could take the place of newer ones.
			seen.Roles = state.Roles
		}
		ev := tidings.Event{Source: tidings.SourcePoll, Guild: g, At: began, Body: seen}
		if err := p.Door.Commit(ctx, ev); err != nil {
			return nil, false, err
		}
	}
	all := append(channels, threads...)
	if !alone {
		if err := p.meet(ctx, g, state, all); err != nil {
			return nil, false, err
		}
	}
	state.Channels = all
	return state, learned, nil
}

// meet stores channels and threads that nobody has told of. What is read in them afterwards has its place then: mentions of everyone
// are of a guild, and people see it.
func (p *Poll) meet(ctx context.Context, g discord.GuildID, known *tidings.GuildState, listed []tidings.Channel) error {
	there := make(map[discord.ChannelID]bool, len(known.Channels))
	for _, c := range known.Channels {
		// A placeholder's name and type are what is missing.
		there[c.ID] = c.Type != tidings.ChannelUnknown
	}
	now := time.Now()
	var events []tidings.Event
	for _, c := range listed {
		if !there[c.ID] {
			events = append(events, tidings.Event{Source: tidings.SourcePoll, Guild: g, Channel: c.ID, At: now, Body: tidings.ChannelSeen{Channel: c}})
		}
	}
	if len(events) == 0 {
		return nil
	}
	return p.Door.Commit(ctx, events...)
}

// heads lists the newest message of each channel that the bot may read.
func (p *Poll) heads(ctx context.Context, state *tidings.GuildState, why PollReason, now time.Time) (map[discord.ChannelID]discord.MessageID, error) {
	self, err := p.me(ctx, state.Guild.ID)
	if err != nil {
		return nil, err
	}
	// Discord lists only those private threads that the bot is in or may manage.
	state.ThreadMembers = map[discord.ChannelID][]discord.UserID{}
	for _, c := range state.Channels {
		if c.Type == tidings.ChannelPrivateThread {
			state.ThreadMembers[c.ID] = []discord.UserID{self.User}
		}
	}
	rules := tidings.NewRules(state)
	grace := tidings.FirstID(now.Add(-auditGrace))
	heads := map[discord.ChannelID]discord.MessageID{}
	for _, c := range state.Channels {
		if c.LastMessage == 0 || !c.HoldsMessages() || !rules.CanRead(self, c.ID) {
			continue
		}
		if why == PollAudit && c.LastMessage >= grace {
			continue
		}
		heads[c.ID] = c.LastMessage
	}
	return heads, nil
}

// me is the bot's own membership. It is kept until the guild is learned again.
func (p *Poll) me(ctx context.Context, g discord.GuildID) (*tidings.Member, error) {
	p.mu.Lock()
	m := p.self[g]
	p.mu.Unlock()
	if m != nil {
		return m, nil
	}
	m, err := p.Scout.Self(ctx, g)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.self == nil || len(p.self) >= maxSelves {
		p.self = map[discord.GuildID]*tidings.Member{}
	}
	p.self[g] = m
	return m, nil
}

// Moved forgets what the bot itself may read in a guild, after its roles have changed.
func (p *Poll) Moved(g discord.GuildID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.self, g)
}
