package jobs

import (
	"context"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/store"
)

// AlertsKind is the kind of the job that lets every webhook look once more, for what was stored and never told.
const AlertsKind = "alerts"

// AlertStore lists what webhooks and browsers want, and takes jobs. It is *store.Store.
type AlertStore interface {
	OutgoingWishes(ctx context.Context) ([]store.OutgoingWish, error)
	PushWishes(ctx context.Context) ([]store.OutgoingWish, error)
	Enqueue(ctx context.Context, jobs ...store.NewJob) (fresh int, err error)
}

const (
	// wishesFor is how long a list of wishes is believed.
	wishesFor = 5 * time.Second
	// alertEvery is how often jobs are asked for at most, so that a busy channel makes one and not a hundred.
	alertEvery = time.Second
	// maxHeard bounds what waits for a look; what comes then is found by the job of [AlertsKind].
	maxHeard = 4096
)

// Alerts hears of new messages and has those webhooks look that may want them. It is a hint only: what is told is decided when the
// webhook looks, so a hint too many costs a question, and one too few a minute.
type Alerts struct {
	store   AlertStore
	visible func(discord.UserID) *tidings.VisibleSet
	log     *slog.Logger

	mu    sync.Mutex
	heard []tidings.Delta
	wake  chan struct{}
}

// NewAlerts makes an Alerts. visible is access'.
func NewAlerts(s AlertStore, visible func(discord.UserID) *tidings.VisibleSet, log *slog.Logger) *Alerts {
	return &Alerts{store: s, visible: visible, log: log, wake: make(chan struct{}, 1)}
}

// Tell hears of what was stored. It does not wait.
func (a *Alerts) Tell(_ context.Context, r tidings.Result) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, d := range r.Deltas {
		if d.Kind == tidings.DeltaCreate && d.N > 0 && d.Message != nil && len(a.heard) < maxHeard {
			a.heard = append(a.heard, d)
		}
	}
	if len(a.heard) > 0 {
		select {
		case a.wake <- struct{}{}:
		default:
		}
	}
}

// Run has webhooks look until ctx ends.
func (a *Alerts) Run(ctx context.Context) error {
	var wishes []store.OutgoingWish
	var read time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.wake:
		}
		a.mu.Lock()
		heard := a.heard
		a.heard = nil
		a.mu.Unlock()
		if time.Since(read) > wishesFor {
			fresh, err := a.wishes(ctx)
			if err != nil {
				if ctx.Err() == nil {
					a.log.Warn("what webhooks want cannot be read; they are told later", "err", err)
				}
			} else {
				wishes, read = fresh, time.Now()
			}
		}
		if jobs := a.wanted(wishes, heard); len(jobs) > 0 {
			if _, err := a.store.Enqueue(ctx, jobs...); err != nil && ctx.Err() == nil {
				a.log.Warn("webhooks are told later", "err", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(alertEvery):
		}
	}
}

// wishes lists those of webhooks and of browsers.
func (a *Alerts) wishes(ctx context.Context) ([]store.OutgoingWish, error) {
	webhooks, err := a.store.OutgoingWishes(ctx)
	if err != nil {
		return nil, err
	}
	browsers, err := a.store.PushWishes(ctx)
	return append(webhooks, browsers...), err
}

// Look is the handler of [AlertsKind].
func (a *Alerts) Look(ctx context.Context, _ store.Job) error {
	return a.lookAll(ctx, a.store.OutgoingWishes)
}

// LookPush is the handler of [PushesKind].
func (a *Alerts) LookPush(ctx context.Context, _ store.Job) error {
	return a.lookAll(ctx, a.store.PushWishes)
}

func (a *Alerts) lookAll(ctx context.Context, list func(context.Context) ([]store.OutgoingWish, error)) error {
	wishes, err := list(ctx)
	if err != nil {
		return err
	}
	// Many browsers may be told; a statement has room for a part of them.
	for some := range slices.Chunk(wishes, 500) {
		var jobs []store.NewJob
		for _, w := range some {
			jobs = append(jobs, sendJob(w))
		}
		if _, err := a.store.Enqueue(ctx, jobs...); err != nil {
			return err
		}
	}
	return nil
}

func sendJob(w store.OutgoingWish) store.NewJob {
	return store.NewJob{Kind: w.Kind, Key: strconv.FormatInt(w.ID, 10)}
}

// wanted lists the jobs of webhooks that may want something of what was heard.
func (a *Alerts) wanted(wishes []store.OutgoingWish, heard []tidings.Delta) []store.NewJob {
	var jobs []store.NewJob
	for _, w := range wishes {
		set := a.visible(w.User)
		if slices.ContainsFunc(heard, func(d tidings.Delta) bool { return mayWant(w, set, d) }) {
			jobs = append(jobs, sendJob(w))
		}
	}
	return jobs
}

// mayWant is quick, and never wrong about what is wanted.
func mayWant(w store.OutgoingWish, set *tidings.VisibleSet, d tidings.Delta) bool {
	if d.Author == w.User {
		return false
	}
	i := slices.IndexFunc(set.Guilds, func(g tidings.VisibleGuild) bool { return g.Guild.ID == d.Guild })
	if i < 0 {
		return false
	}
	if w.Mentions {
		if d.Mentions.Everyone || slices.Contains(d.Mentions.Users, w.User) {
			return true
		}
		if slices.ContainsFunc(d.Mentions.Roles, func(r discord.RoleID) bool { return slices.Contains(set.Guilds[i].Roles, r) }) {
			return true
		}
	}
	if len(w.Keywords) > 0 {
		text := strings.ToLower(d.Message.Content)
		for _, k := range w.Keywords {
			if strings.Contains(text, longestWord(strings.ToLower(k))) {
				return true
			}
		}
	}
	if len(w.Everything) > 0 {
		if slices.Contains(w.Everything, 0) {
			return true
		}
		if c, above := placed(set.Guilds[i], d.Channel); store.InPlaces(w.Everything, c, above) {
			return true
		}
	}
	return w.View != nil && (len(w.View.Authors) == 0 || slices.Contains(w.View.Authors, d.Author)) && (!w.View.Mentions || !d.Mentions.None())
}

// placed is a channel, and what that is in which it is in, as far as a guild shows them.
func placed(g tidings.VisibleGuild, id discord.ChannelID) (c tidings.Channel, above discord.ChannelID) {
	c = tidings.Channel{ID: id, Guild: g.Guild.ID}
	for _, list := range [][]tidings.Channel{g.Channels, g.Parents} {
		for _, x := range list {
			if x.ID == id {
				c.Parent = x.Parent
			}
		}
	}
	for _, list := range [][]tidings.Channel{g.Channels, g.Parents} {
		for _, x := range list {
			if x.ID == c.Parent {
				above = x.Parent
			}
		}
	}
	return c, above
}

// longestWord is the part of a keyword that a text with it surely has: its longest run of letters.
func longestWord(k string) string {
	longest := ""
	for _, w := range strings.FieldsFunc(k, func(c rune) bool { return c < 'a' || c > 'z' }) {
		if len(w) > len(longest) {
			longest = w
		}
	}
	return longest // Without plain letters it is "", which every text has.
}
