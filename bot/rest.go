package bot

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/diamondburned/arikawa/v3/api"
	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/diamondburned/arikawa/v3/utils/httputil"
	"github.com/diamondburned/arikawa/v3/utils/httputil/httpdriver"

	"tidings"
)

// REST asks Discord's REST API as the bot. Errors are [tidings.ErrNotFound], [tidings.ErrForbidden], [tidings.ErrUnauthorized],
// [tidings.ErrInvalid] or [tidings.ErrUnavailable]; where Discord gave a code, [Code] tells it. All methods wait for rate
// limits, at most a minute, and try again what may succeed.
type REST struct {
	client    *api.Client
	transport *transport
	metrics   *metrics
	log       *slog.Logger
	strange   *once
}

func newREST(token string, base *url.URL, c *http.Client, l Limiter, m *metrics, log *slog.Logger) *REST {
	t := newTransport(base, c, l, m, log)
	t.trips = true
	client := *c
	client.Transport = t
	hc := httputil.NewClient()
	hc.Client = httpdriver.WrapClient(client)
	hc.Retries = 1 // 0 would be for ever; the transport tries again.
	hc.Timeout = 0 // The transport limits each attempt.
	a := api.NewCustomClient(token, hc)
	// arikawa's own limiter knows neither buckets nor a fractional Retry-After.
	a.Client.OnRequest = []httputil.RequestOption{httputil.WithHeaders(http.Header{"Authorization": {"Bot " + token}})}
	a.Client.OnResponse = nil
	return &REST{client: a, transport: t, metrics: m, log: log, strange: newOnce()}
}

// get asks for path, which begins without a slash, and decodes the answer into to.
func (r *REST) get(ctx context.Context, to any, path string, query url.Values) error {
	var opts []httputil.RequestOption
	if len(query) > 0 {
		opts = append(opts, httputil.WithSchema(nil, query))
	}
	return fault(ctx, r.client.WithContext(ctx).RequestJSON(to, http.MethodGet, api.Endpoint+path, opts...))
}

// fault turns arikawa's errors into ours.
func fault(ctx context.Context, err error) error {
	var said *httputil.HTTPError
	var broken httputil.JSONError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &said):
		message := said.Message
		if message == "" {
			message = http.StatusText(said.Status)
		}
		return &APIError{Status: said.Status, Code: int(said.Code), Message: message}
	case errors.As(err, &broken):
		return fmt.Errorf("%w: Discord's answer cannot be understood: %w", tidings.ErrUnavailable, err)
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return err
}

// Now is the time by Discord's clock, as far as its last answer tells; ours before the first.
func (r *REST) Now() time.Time { return time.Now().Add(time.Duration(r.transport.ahead.Load())) }

// GatewayInfo asks where the gateway is and how many sessions may be started.
func (r *REST) GatewayInfo(ctx context.Context) (GatewayInfo, error) {
	d, err := r.client.WithContext(ctx).BotURL()
	if err := fault(ctx, err); err != nil {
		return GatewayInfo{}, fmt.Errorf("get the gateway's address: %w", err)
	}
	if d == nil || d.URL == "" {
		return GatewayInfo{}, fmt.Errorf("get the gateway's address: %w: the answer has none", tidings.ErrUnavailable)
	}
	now := time.Now()
	info := GatewayInfo{URL: d.URL, Shards: d.Shards, MaxConcurrency: 1, at: now}
	if s := d.StartLimit; s != nil {
		info.Total, info.Remaining, info.MaxConcurrency = s.Total, s.Remaining, max(s.MaxConcurrency, 1)
		info.Reset = now.Add(s.ResetAfter.Duration())
	}
	return info, nil
}

// Application is the bot's own application.
type Application struct {
	ID        discord.AppID
	Name      string
	Flags     uint64
	VerifyKey string // hex; with it Discord signs its webhook events
	Owner     string
	Guilds    int // about how many guilds the bot is in
}

// Flags of an application that say which privileged intents are switched on; the limited ones are for bots below Discord's
// verification threshold. Source: discord.com/developers/docs/resources/application#application-object-application-flags.
const (
	flagGuildMembers          = 1 << 14
	flagGuildMembersLimited   = 1 << 15
	flagMessageContent        = 1 << 18
	flagMessageContentLimited = 1 << 19
)

// privilegedIntents are those that we need, as Discord's portal names them.
var privilegedIntents = []string{"Server Members Intent", "Message Content Intent"}

// MissingIntents names the privileged intents that are needed but not switched on, as Discord's portal names them.
func (a Application) MissingIntents() []string {
	var off []string
	if a.Flags&(flagGuildMembers|flagGuildMembersLimited) == 0 {
		off = append(off, privilegedIntents[0])
	}
	if a.Flags&(flagMessageContent|flagMessageContentLimited) == 0 {
		off = append(off, privilegedIntents[1])
	}
	return off
}

// Application asks who the bot's application is.
func (r *REST) Application(ctx context.Context) (Application, error) {
	var w struct {
		ID        id       `json:"id"`
		Name      text     `json:"name"`
		Flags     uint64   `json:"flags"`
		VerifyKey string   `json:"verify_key"`
		Owner     wireUser `json:"owner"`
		Guilds    int      `json:"approximate_guild_count"`
	}
	if err := r.get(ctx, &w, "applications/@me", nil); err != nil {
		return Application{}, fmt.Errorf("get the application: %w", err)
	}
	return Application{
		ID: discord.AppID(w.ID), Name: string(w.Name), Flags: w.Flags, VerifyKey: w.VerifyKey,
		Owner: w.Owner.user().Name, Guilds: w.Guilds,
	}, nil
}

// Me asks who the bot is.
func (r *REST) Me(ctx context.Context) (tidings.User, error) { return r.user(ctx, "@me") }

// User asks who somebody is.
func (r *REST) User(ctx context.Context, u discord.UserID) (tidings.User, error) {
	return r.user(ctx, u.String())
}

func (r *REST) user(ctx context.Context, who string) (tidings.User, error) {
	var w wireUser
	if err := r.get(ctx, &w, "users/"+who, nil); err != nil {
		return tidings.User{}, fmt.Errorf("get user %s: %w", who, err)
	}
	if w.ID == 0 {
		return tidings.User{}, fmt.Errorf("get user %s: %w: the answer has no id", who, tidings.ErrUnavailable)
	}
	return w.user(), nil
}

// PageQuery chooses a page of a channel's messages. At most one of Before, After and Around is set; none asks for the newest.
type PageQuery struct {
	Guild  discord.GuildID // what the messages are marked with; Discord does not say it in pages
	Before discord.MessageID
	After  discord.MessageID // the page holds the messages closest above it
	Around discord.MessageID
	Limit  int // 1 to 100; 0 is 100
}

// Page is a page of a channel's messages.
type Page struct {
	// Messages are what could be made out, newest first. Each carries its payload as it came.
	Messages []tidings.Message
	// Full says that the page holds as many as were asked for: one that is neither full nor empty ends where the channel does.
	Full bool
	// Unclear are the ranges in which the page shows something whose id, channel or author cannot be made out: of its own id
	// where that can be read, else between its neighbours; After is 0 for what is last on the page.
	Unclear []tidings.IDRange
}

// Messages fetches one page, newest first. It is the part of [REST.Page] that could be made out.
func (r *REST) Messages(ctx context.Context, channel discord.ChannelID, q PageQuery) ([]tidings.Message, error) {
	p, err := r.Page(ctx, channel, q)
	return p.Messages, err
}

// Page fetches one page. A message that cannot be understood does not fail it.
//
// An empty page does not mean that there is nothing: without READ_MESSAGE_HISTORY Discord answers with one as well.
func (r *REST) Page(ctx context.Context, channel discord.ChannelID, q PageQuery) (Page, error) {
	query := url.Values{"limit": {strconv.Itoa(limit(q.Limit))}}
	for _, p := range []struct {
		name string
		id   discord.MessageID
	}{{"before", q.Before}, {"after", q.After}, {"around", q.Around}} {
		if p.id != 0 {
			query.Set(p.name, p.id.String())
		}
	}
	var shown []json.RawMessage
	if err := r.get(ctx, &shown, "channels/"+channel.String()+"/messages", query); err != nil {
		return Page{}, fmt.Errorf("get messages of channel %d: %w", channel, err)
	}
	page := Page{Messages: make([]tidings.Message, 0, len(shown)), Full: len(shown) >= limit(q.Limit)}
	newer, nameless := discord.MessageID(math.MaxInt64), false
	if q.Before != 0 {
		newer = q.Before
	}
	for _, one := range newestFirst(shown) {
		id, raw := one.id, one.raw
		switch {
		case id == 0:
			r.strangeMessage(channel, 0, errors.New("its id cannot be made out"))
			nameless = true
			continue
		case id == newer && q.Before != id:
			continue // twice
		case id >= newer:
			return Page{}, fmt.Errorf("get messages of channel %d: %w: a page below %d shows message %d", channel, tidings.ErrUnavailable, newer, id)
		}
		if nameless {
			page.Unclear = append(page.Unclear, tidings.IDRange{After: id, To: newer - 1})
		}
		newer, nameless = id, false
		m, err := tidings.ParseMessage(raw, q.Guild)
		switch {
		case err == nil && m.Channel != channel:
			err = fmt.Errorf("it says that it is of channel %d", m.Channel)
		case err == nil && m.Author == 0:
			err = errors.New("its author cannot be made out")
		}
		if err != nil {
			r.strangeMessage(channel, id, err)
			page.Unclear = append(page.Unclear, tidings.IDRange{After: id - 1, To: id})
			continue
		}
		if m.Flags&tidings.FlagEphemeral == 0 {
			page.Messages = append(page.Messages, m)
		}
	}
	if nameless {
		page.Unclear = append(page.Unclear, tidings.IDRange{To: newer - 1})
	}
	return page, nil
}

type shownMessage struct {
	id  discord.MessageID // 0 when it cannot be made out
	raw json.RawMessage
}

// newestFirst reads the ids of a page's messages. Discord shows the newest first; should something on the way have mixed them, they
// are sorted, unless one has no id to sort by.
func newestFirst(shown []json.RawMessage) []shownMessage {
	list, sortable := make([]shownMessage, len(shown)), true
	for i, raw := range shown {
		list[i] = shownMessage{discord.MessageID(idOf(raw)), raw}
		sortable = sortable && list[i].id != 0
	}
	if sortable {
		slices.SortStableFunc(list, func(a, b shownMessage) int { return cmp.Compare(b.id, a.id) })
	}
	return list
}

// Pins fetches the newest pinned messages of a channel, 50 at most, the last pinned first, and whether there are more.
// Source: discord.com/developers/docs/resources/message#get-channel-pins.
func (r *REST) Pins(ctx context.Context, channel discord.ChannelID) (pinned []discord.MessageID, more bool, err error) {
	var page struct {
		Items []struct {
			Message struct {
				ID discord.MessageID `json:"id"`
			} `json:"message"`
		} `json:"items"`
		More bool `json:"has_more"`
	}
	if err := r.get(ctx, &page, "channels/"+channel.String()+"/messages/pins", url.Values{"limit": {"50"}}); err != nil {
		return nil, false, fmt.Errorf("get pins of channel %d: %w", channel, err)
	}
	for _, item := range page.Items {
		if item.Message.ID.IsValid() {
			pinned = append(pinned, item.Message.ID)
		}
	}
	return pinned, page.More, nil
}

// strangeMessage counts a message of a page that could not be understood.
func (r *REST) strangeMessage(channel discord.ChannelID, message discord.MessageID, cause error) {
	r.metrics.badLines.Inc()
	if r.strange.first("message") {
		r.log.Error("a fetched message could not be understood; it stays missing and is asked for again, more of them are only counted",
			"channel", channel, "message", message, "err", cause)
	}
}

// Message fetches one message. Only [tidings.ErrNotFound] with the code 10008 says that it is deleted; [tidings.ErrInvalid] that it
// is there and cannot be understood, when no *APIError is in the error.
func (r *REST) Message(ctx context.Context, channel discord.ChannelID, message discord.MessageID) (tidings.Message, error) {
	var raw json.RawMessage
	if err := r.get(ctx, &raw, "channels/"+channel.String()+"/messages/"+message.String(), nil); err != nil {
		return tidings.Message{}, fmt.Errorf("get message %d of channel %d: %w", message, channel, err)
	}
	m, err := tidings.ParseMessage(raw, 0)
	if err == nil && m.Author == 0 {
		err = fmt.Errorf("%w message: no author", tidings.ErrInvalid)
	}
	if err != nil {
		return tidings.Message{}, fmt.Errorf("get message %d of channel %d: %w", message, channel, err)
	}
	return m, nil
}

func limit(n int) int {
	if n <= 0 || n > 100 {
		return 100
	}
	return n
}
