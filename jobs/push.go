package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/SherClockHolmes/webpush-go"
	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/store"
)

// PushesKind is the kind of the timetable's job that lets every browser that is told by Web Push look once more, for what was stored and never told.
const PushesKind = "pushes"

// PushStore knows what browsers have to be told. It is *store.Store.
type PushStore interface {
	PushSubscription(ctx context.Context, id int64) (store.PushSubscription, error)
	NotifyPrefs(ctx context.Context, user discord.UserID) (tidings.NotifyPrefs, error)
	PushHits(ctx context.Context, set *tidings.VisibleSet, p store.PushSubscription, prefs tidings.NotifyPrefs, limit int) ([]store.Hit, error)
	PushSettled(ctx context.Context, p store.PushSubscription, told []discord.MessageID, left discord.MessageID, delivered bool) error
	PushFailed(ctx context.Context, id int64, why string, gone bool) (deleted bool, err error)
}

// PushKeys are the service's own keys for Web Push (VAPID), in URL-safe base64.
type PushKeys struct{ Public, Private string }

// PushTarget is where a browser is told, and how what it is told is encrypted. It is a PushSubscription as browsers write it.
type PushTarget = webpush.Subscription

// Push tells browsers by Web Push of what their people want to be notified of, while no page of theirs is being looked at. What
// is told is what the person may see, has not read and wants to hear of at that moment.
type Push struct {
	Store   PushStore
	Visible func(discord.UserID) *tidings.VisibleSet
	// Confirm is Visible by what is stored of these guilds now. It is (*access.Access).Confirm.
	Confirm func(ctx context.Context, u discord.UserID, guilds ...discord.GuildID) (*tidings.VisibleSet, error)
	// Target decrypts where and how a browser is told.
	Target func(u discord.UserID, sealed []byte) (PushTarget, error)
	Keys   func(ctx context.Context) (PushKeys, error)
	// Alive reports whether what a subscription was made with still stands.
	Alive func(ctx context.Context, session string) (bool, error)
	// Here reports whether the person is looking at a page now, on whatever device.
	Here func(ctx context.Context, u discord.UserID) (bool, error)
	// Brief says who wrote a message and, in a line of plain text, what, to whoever sees a set.
	Brief      func(set *tidings.VisibleSet, m tidings.Message) (author, text string)
	HTTP       *http.Client // [OutgoingClient]
	Subscriber string       // who sends, for whoever runs the push service: an https address or a mail address
	Log        *slog.Logger
	Now        func() time.Time // nil: time.Now
}

const (
	// pushesEach bounds what one look tells: what is more is told as a number.
	pushesEach = 40
	// pushMessages bounds how many notifications one look makes; each is of a channel.
	pushMessages = 5
	// hereFor is how long after a message was written a person who looks at a page may still go away without having seen it: the lid of
	// a laptop is closed faster than its connection ends.
	hereFor = 2 * time.Minute
	// hereAgain is when that is looked at again.
	hereAgain = 30 * time.Second
	// pushPause is the wait after a first failure; it doubles with each in a row, up to an hour.
	pushPause = 5 * time.Second
	// pushTTL is how long a push service keeps what it cannot deliver.
	pushTTL = 4 * time.Hour
)

// Notice is what a browser's service worker is told: one notification.
type Notice struct {
	Tag     string   `json:"tag"` // one shown under the same tag is replaced
	Title   string   `json:"title"`
	Body    string   `json:"body"`
	URL     string   `json:"url"` // a path of this service
	Channel string   `json:"channel,omitempty"`
	IDs     []string `json:"ids,omitempty"` // the messages that it tells of, oldest first
	At      int64    `json:"at"`            // milliseconds since 1970
}

var errHere = errors.New("the person is looking at a page")

// Handle does a job of the kind [store.SendPush].
func (p *Push) Handle(ctx context.Context, j store.Job) error {
	id, err := strconv.ParseInt(j.Key, 10, 64)
	if err != nil {
		return Dead(fmt.Errorf("%w push subscription %q", tidings.ErrInvalid, j.Key))
	}
	sub, err := p.Store.PushSubscription(ctx, id)
	if errors.Is(err, tidings.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	stands, err := p.Alive(ctx, sub.Session)
	if err != nil {
		return err
	}
	if !stands {
		_, err := p.Store.PushFailed(ctx, sub.ID, "its session has ended", true)
		return err
	}
	prefs, err := p.Store.NotifyPrefs(ctx, sub.User)
	if err != nil {
		return err
	}
	set, hits, err := stillSeen(ctx, p.Visible, p.Confirm, sub.User, func(set *tidings.VisibleSet) ([]store.Hit, error) {
		return p.Store.PushHits(ctx, set, sub, prefs, pushesEach)
	})
	if err != nil {
		return err
	}
	now := time.Now()
	if p.Now != nil {
		now = p.Now()
	}
	if len(hits) == 0 || prefs.Quiet.Now(now) {
		return p.Store.PushSettled(ctx, sub, ids(hits), 0, false)
	}
	here, err := p.Here(ctx, sub.User)
	if err != nil {
		p.Log.Warn("whether somebody is looking is not known; they are told", "user", sub.User, "err", err)
	}
	if here {
		seen := slices.DeleteFunc(slices.Clone(hits), func(h store.Hit) bool { return now.Sub(h.Message.ID.Time()) < hereFor })
		if err := p.Store.PushSettled(ctx, sub, ids(seen), 0, false); err != nil || len(seen) == len(hits) {
			return err
		}
		return RetryAfter(errHere, hereAgain)
	}
	return p.tell(ctx, sub, set, hits)
}

func ids(hits []store.Hit) []discord.MessageID {
	list := make([]discord.MessageID, len(hits))
	for i, h := range hits {
		list[i] = h.Message.ID
	}
	return list
}

// tell sends what was found, a notification for each channel.
func (p *Push) tell(ctx context.Context, sub store.PushSubscription, set *tidings.VisibleSet, hits []store.Hit) error {
	target, err := p.Target(sub.User, sub.Sealed)
	if err != nil {
		p.Log.Error("a push subscription cannot be read; its person has to switch it on again", "subscription", sub.ID, "user", sub.User, "err", err)
		_, err = p.Store.PushFailed(ctx, sub.ID, "it cannot be read any more", true)
		return err
	}
	keys, err := p.Keys(ctx)
	if err != nil {
		return err
	}
	left := ids(hits) // oldest first
	if len(hits) == pushesEach {
		left = append(left, hits[len(hits)-1].Message.ID+1) // there may be more
	}
	for _, n := range p.notices(sub, set, hits) {
		bad := p.post(ctx, &target, keys, n.notice, n.urgent)
		if bad == nil {
			var first discord.MessageID // of what the next of this loop, or another look, will tell
			if left = slices.DeleteFunc(left, func(id discord.MessageID) bool { return slices.Contains(n.ids, id) }); len(left) > 0 {
				first = left[0]
			}
			if err := p.Store.PushSettled(ctx, sub, n.ids, first, true); err != nil {
				return err
			}
			for _, id := range n.ids { // for the next of this loop
				sub.Sent = append(sub.Sent, int64(id))
			}
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		gone := bad.status == http.StatusGone || bad.status == http.StatusNotFound
		deleted, err := p.Store.PushFailed(ctx, sub.ID, bad.why, gone)
		if err != nil {
			return err
		}
		if deleted {
			p.Log.Info("a push subscription has ended", "subscription", sub.ID, "user", sub.User, "why", bad.why)
			return nil
		}
		// It is one browser's push service that fails, and not this kind of job: that is no alert for operators.
		wait := min(pushPause<<min(sub.Failures, 20), outgoingWait)
		return RetryAfter(fmt.Errorf("push subscription %d: %s", sub.ID, bad.why), max(wait, bad.wait))
	}
	if len(hits) == pushesEach {
		return ErrYield
	}
	return nil
}

// toldOf is a notification and the messages that are told with it.
type toldOf struct {
	notice Notice
	ids    []discord.MessageID
	urgent bool
}

// notices makes a notification of each channel's messages, the oldest channel first; of very many channels the last is of all the rest.
func (p *Push) notices(sub store.PushSubscription, set *tidings.VisibleSet, hits []store.Hit) []toldOf {
	var channels []discord.ChannelID
	of := map[discord.ChannelID][]store.Hit{}
	for _, h := range hits {
		if of[h.Message.Channel] == nil {
			channels = append(channels, h.Message.Channel)
		}
		of[h.Message.Channel] = append(of[h.Message.Channel], h)
	}
	var list []toldOf
	for i, c := range channels {
		if i == pushMessages-1 && len(channels) > pushMessages {
			var rest toldOf
			for _, c := range channels[i:] {
				rest.ids = append(rest.ids, ids(of[c])...)
			}
			last := slices.Max(rest.ids)
			rest.notice = Notice{Tag: "rest", Title: "More for you", URL: "/", At: last.Time().UnixMilli(),
				Body: fmt.Sprintf("%d messages in %d more channels", len(rest.ids), len(channels)-i)}
			return append(list, rest)
		}
		list = append(list, p.notice(sub, set, of[c]))
	}
	return list
}

// notice is the notification of one channel's messages.
func (p *Push) notice(sub store.PushSubscription, set *tidings.VisibleSet, hits []store.Hit) toldOf {
	last := hits[len(hits)-1]
	t := toldOf{ids: ids(hits)}
	channel, guild := placeOf(set, last.Message.Channel)
	where := "#" + channel
	if guild != "" {
		where += " · " + guild
	}
	mention, keyword := false, false
	for _, h := range hits {
		mention = mention || slices.Contains(h.Why, store.WhyMention)
		keyword = keyword || slices.Contains(h.Why, store.WhyKeyword)
	}
	t.urgent = mention || keyword
	t.notice = Notice{
		Tag: "c" + last.Message.Channel.String(), Channel: last.Message.Channel.String(), At: last.Message.ID.Time().UnixMilli(),
		URL: fmt.Sprintf("/c/%d?at=%d", last.Message.Channel, last.Message.ID),
	}
	for _, id := range t.ids {
		t.notice.IDs = append(t.notice.IDs, id.String())
	}
	switch author, text := p.Brief(set, last.Message); {
	case sub.Words:
		t.notice.Title, t.notice.Body = clip(author, 80)+" · "+where, clip(text, 200)
		if more := len(hits) - 1; more > 0 {
			t.notice.Body += fmt.Sprintf("\nand %d more", more)
		}
	case mention:
		t.notice.Title, t.notice.Body = "You were mentioned", where
	case keyword:
		t.notice.Title, t.notice.Body = "A word that you watch", where
	case len(hits) > 1:
		t.notice.Title, t.notice.Body = fmt.Sprintf("%d new messages", len(hits)), where
	default:
		t.notice.Title, t.notice.Body = "A new message", where
	}
	return t
}

// clip bounds a text to n characters.
func clip(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

// placeOf is what a channel and its guild are called.
func placeOf(set *tidings.VisibleSet, id discord.ChannelID) (channel, guild string) {
	for _, g := range set.Guilds {
		for _, c := range g.Channels {
			if c.ID == id {
				return clip(c.Name, 80), clip(g.Guild.Name, 60)
			}
		}
	}
	return "a channel", ""
}

// post sends one notification. What comes back of the other side's words is not kept.
func (p *Push) post(ctx context.Context, target *PushTarget, keys PushKeys, n Notice, urgent bool) *refusal {
	ctx, cancel := context.WithTimeout(ctx, outgoingTime)
	defer cancel()
	body, err := json.Marshal(n)
	if err != nil {
		return &refusal{why: "it cannot be written"}
	}
	o := &webpush.Options{
		HTTPClient: p.HTTP, Subscriber: p.Subscriber, TTL: int(pushTTL / time.Second), Urgency: webpush.UrgencyNormal,
		VAPIDPublicKey: keys.Public, VAPIDPrivateKey: keys.Private,
	}
	if urgent {
		o.Urgency = webpush.UrgencyHigh
	}
	res, err := webpush.SendNotificationWithContext(ctx, body, target, o)
	switch {
	case errors.Is(err, errPrivate):
		return &refusal{why: errPrivate.Error(), status: http.StatusGone}
	case err != nil && ctx.Err() != nil:
		return &refusal{why: "the push service did not answer in time"}
	case err != nil:
		p.Log.Debug("a push service could not be reached", "err", withoutAddress(err))
		return &refusal{why: "the push service could not be reached"}
	}
	return answered(res, "the push service")
}
