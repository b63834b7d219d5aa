// Package web is everything that talks to a browser or an API client: routes, sessions, the JSON API, pages. It decides who
// is asking and what they may do; what they may read is access's to say, what there is to read store's, and the live socket
// hub's once the person is known.
package web

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/danielgtaylor/huma/v2"
	"github.com/diamondburned/arikawa/v3/discord"
	"golang.org/x/oauth2"

	"tidings"
	"tidings/hub"
	"tidings/render"
	"tidings/store"
)

// Store is what is kept. It is *store.Store.
type Store interface {
	ReadStore
	MarkStore
	PeopleStore
	PreferenceStore
	NotifyStore
	ViewStore
	CredentialStore
	scs.CtxStore // sessions
}

// ReadStore answers what there is to read.
type ReadStore interface {
	Summary(ctx context.Context, set *tidings.VisibleSet) (*tidings.Unread, error)
	Counts(ctx context.Context, set *tidings.VisibleSet, channels []discord.ChannelID) ([]tidings.ReadChannel, error)
	// Verify returns what is stated beside a recount, of one moment and in one order.
	Verify(ctx context.Context, set *tidings.VisibleSet) (stated, recounted []tidings.ReadChannel, err error)
	Messages(ctx context.Context, q store.PageQuery) (store.Page, error)
	Feed(ctx context.Context, set *tidings.VisibleSet, q store.FeedQuery) (store.FeedPage, error)
	Deleted(ctx context.Context, of []store.Quoted) (map[store.Quoted]bool, error)
	Search(ctx context.Context, set *tidings.VisibleSet, q store.SearchQuery, cursor string, limit int) (store.FeedPage, error)
	Picked(ctx context.Context, set *tidings.VisibleSet, of []store.Quoted) ([]tidings.Message, error)
}

// MarkStore keeps how far people have read.
type MarkStore interface {
	MarkRead(ctx context.Context, set *tidings.VisibleSet, m tidings.MarkRead) (tidings.ReadResult, error)
	MarkUnread(ctx context.Context, set *tidings.VisibleSet, channel discord.ChannelID, message discord.MessageID) (tidings.ReadResult, error)
	Undo(ctx context.Context, set *tidings.VisibleSet, rev int64) (tidings.ReadResult, error)
}

// PreferenceStore keeps what people mute, whom they ignore and what they save for later.
type PreferenceStore interface {
	Mute(ctx context.Context, user discord.UserID, scope discord.Snowflake, until time.Time) (tidings.ReadResult, error)
	Unmute(ctx context.Context, user discord.UserID, scope discord.Snowflake) (tidings.ReadResult, error)
	Mutes(ctx context.Context, user discord.UserID) ([]store.Mute, error)
	Ignore(ctx context.Context, user, author discord.UserID) (tidings.ReadResult, error)
	Unignore(ctx context.Context, user, author discord.UserID) (tidings.ReadResult, error)
	Ignored(ctx context.Context, user discord.UserID) ([]discord.UserID, error)
	Save(ctx context.Context, set *tidings.VisibleSet, channel discord.ChannelID, message discord.MessageID) error
	Unsave(ctx context.Context, user discord.UserID, channel discord.ChannelID, message discord.MessageID) error
	Suppress(ctx context.Context, user discord.UserID, guild discord.GuildID, what tidings.Suppression) (tidings.ReadResult, error)
	Suppressed(ctx context.Context, user discord.UserID) ([]store.Suppressed, error)
	SavedMessages(ctx context.Context, set *tidings.VisibleSet, cursor string, limit int) (store.SavedPage, error)
}

// ViewStore keeps people's views and keywords, and the addresses that are told.
type ViewStore interface {
	Views(ctx context.Context, user discord.UserID) ([]store.View, error)
	View(ctx context.Context, user discord.UserID, id int64) (store.View, error)
	ViewByFeed(ctx context.Context, secret string) (store.View, error)
	CreateView(ctx context.Context, user discord.UserID, name string, f store.ViewFilters) (store.View, error)
	UpdateView(ctx context.Context, user discord.UserID, id int64, name string, f store.ViewFilters) (store.View, error)
	DeleteView(ctx context.Context, user discord.UserID, id int64) error
	OpenFeed(ctx context.Context, user discord.UserID, id int64) (secret string, err error)
	CloseFeed(ctx context.Context, user discord.UserID, id int64) error
	CountFeed(ctx context.Context, set *tidings.VisibleSet, q store.FeedQuery, most int) (int, error)
	Keywords(ctx context.Context, user discord.UserID) ([]string, error)
	SetKeywords(ctx context.Context, user discord.UserID, words []string) ([]string, error)
	OutgoingWebhooks(ctx context.Context, user discord.UserID) ([]store.OutgoingWebhook, error)
	CreateOutgoing(ctx context.Context, w store.OutgoingWebhook) (store.OutgoingWebhook, error)
	DeleteOutgoing(ctx context.Context, user discord.UserID, id int64) error
}

// PeopleStore keeps who has signed in.
type PeopleStore interface {
	User(ctx context.Context, id discord.UserID) (tidings.User, error)
	SaveUser(ctx context.Context, u tidings.User) (tidings.User, error)
	SaveOAuthToken(ctx context.Context, user discord.UserID, sealed []byte) error
	// SaveServers keeps in which servers a person is, as Discord has said; ServersWithout lists
	// those in which the bot is not, and when Discord was asked: zero for never.
	SaveServers(ctx context.Context, user discord.UserID, servers []tidings.Guild) error
	ServersWithout(ctx context.Context, user discord.UserID) (servers []tidings.Guild, asked time.Time, err error)
	UserByToken(ctx context.Context, token string) (user discord.UserID, scopes []string, err error)
}

// CredentialStore keeps what people can see and end of their tokens and sessions. Keys are those of [store.TokenKey].
type CredentialStore interface {
	CreateToken(ctx context.Context, user discord.UserID, name string, scopes []string) (string, error)
	Tokens(ctx context.Context, user discord.UserID) ([]store.Token, error)
	RevokeToken(ctx context.Context, user discord.UserID, id int64) (key string, err error)
	TokenStands(ctx context.Context, key, scope string) (bool, error)
	NoteSession(ctx context.Context, key string, user discord.UserID, agent string) error
	Sessions(ctx context.Context, user discord.UserID) ([]store.Session, error)
	EndSessionsOf(ctx context.Context, user discord.UserID, keys []string) error
	SessionStands(ctx context.Context, key string) (bool, error)
}

// Access says who may read what. It is *access.Access.
type Access interface {
	Visible(u discord.UserID) *tidings.VisibleSet
	// Confirm is Visible by what is stored of these guilds now: what is given out was read before it was asked, and may be read by its answer.
	Confirm(ctx context.Context, u discord.UserID, guilds ...discord.GuildID) (*tidings.VisibleSet, error)
	// Guild is all that is known of a guild.
	Guild(g discord.GuildID) (*tidings.GuildState, bool)
	Enroll(ctx context.Context, u discord.UserID, hint []discord.GuildID, own func(context.Context, discord.GuildID) (*tidings.Member, error)) error
	// CatchUp reads what other processes have changed and not told yet, at most once a second.
	CatchUp(ctx context.Context) error
	// Permissions are what a person may do in a channel now.
	Permissions(u discord.UserID, c discord.ChannelID) tidings.Permissions
}

// Healing knows what is missing. It is *store.Store.
type Healing interface {
	// Opened says that somebody looks at channels: what is missing there is fetched ahead of everything else.
	Opened(ctx context.Context, channels []discord.ChannelID) error
	ChannelGaps(ctx context.Context, channel discord.ChannelID) ([]store.Gap, error)
	// TypicalHealing is how long the last gaps were open; 0 when that is not known.
	TypicalHealing(ctx context.Context) (time.Duration, error)
	Recovered(ctx context.Context, channel discord.ChannelID, limit int) ([]store.Healed, error)
}

// Live is the live socket, which also learns of marks made here. It is *hub.Hub.
type Live interface {
	Serve(w http.ResponseWriter, r *http.Request, who hub.Who)
	Tell(ctx context.Context, r tidings.Result)
	EndSession(session string)
}

// OAuth is Discord's half of signing in. It is *bot.OAuth.
type OAuth interface {
	// AuthURL is where the person is sent; the challenge of the verifier (S256) is part of it.
	AuthURL(state, verifier, redirect string) string
	// Exchange gives the token for a code. ErrInvalid and ErrUnauthorized mean that Discord refused.
	Exchange(ctx context.Context, code, verifier, redirect string) (*oauth2.Token, error)
	Me(ctx context.Context, t *oauth2.Token) (tidings.User, error)
	MyGuilds(ctx context.Context, t *oauth2.Token) ([]tidings.Guild, error)
	// MyMember is the person's own membership of a guild; ErrNotFound when there is none.
	MyMember(ctx context.Context, t *oauth2.Token, g discord.GuildID) (*tidings.Member, error)
}

// Options are all that web needs.
type Options struct {
	Store  Store
	Access Access
	Live   Live
	OAuth  OAuth
	// PublicURL is where people reach the service, without a path. Empty: what the request says.
	PublicURL string
	// EncryptionKey is 32 bytes; Discord's tokens are sealed with it.
	EncryptionKey []byte
	// OldKeys are earlier ones, with which tokens are still opened.
	OldKeys [][]byte
	// DiscordCDN lets browsers load pictures from Discord.
	DiscordCDN bool
	Version    string
	// Admins may make tokens that operate the service.
	Admins []discord.UserID
	// NoPages leaves /healthz, /readyz and /metrics alone, for a process that serves no people.
	NoPages bool
	// Ready reports what keeps the process from serving; nil means ready.
	Ready func(ctx context.Context) error
	// Status fills in GET /api/status; may be nil.
	Status func(ctx context.Context) (Status, error)
	// Limits are shared with other processes; nil where there are none.
	Limits Limits
	// TrustedProxies are whose word about where a request comes from is taken. None by default.
	TrustedProxies []netip.Prefix
	// BotReads says which of a server's channels the bot can read; may be nil. ErrUnavailable: not known now.
	BotReads func(ctx context.Context, g discord.GuildID) (func(discord.ChannelID) bool, error)
	Healing  Healing // may be nil
	// Guilds lists those that the bot is in; may be nil.
	Guilds func(ctx context.Context) ([]discord.GuildID, error)
	// Invite is where somebody adds the bot to a server; may be empty.
	Invite  string
	Metrics http.Handler // may be nil
	// Channels makes and deletes channels' webhooks; may be nil.
	Channels ChannelWebhooks
	// Fresh asks Discord again; may be nil.
	Fresh Fresh
	// Admin switches on what operators use, and what people ask about their own data; may be nil.
	Admin *AdminOptions
	// Webhooks switches POST /webhooks/discord/{source} on; may be nil.
	Webhooks *WebhookOptions
	Log      *slog.Logger
}

// Server is the handler of all routes. It runs nothing of its own.
type Server struct {
	o         Options
	log       *slog.Logger
	render    *render.Renderer
	sessions  *scs.SessionManager
	seal      *sealer
	assets    *assets
	pages     *pages
	public    *url.URL      // nil: what the request says
	webhooks  chan struct{} // a place for each delivery that is being taken
	limiter   *limiter
	exports   places
	push      pushKeys
	fresh     *fresh
	described *huma.OpenAPI    // what api registers
	reference []describedGroup // the same for people
	handler   http.Handler
}

// sessionLife is how long a person stays signed in. Discord's own token lives a week; ours only proves who came.
const sessionLife = 30 * 24 * time.Hour

// New returns the handler. It fails on options that cannot work.
func New(o Options) (*Server, error) {
	s := &Server{o: o, log: o.Log, render: render.New(render.Options{DiscordCDN: o.DiscordCDN}), webhooks: make(chan struct{}, webhooksAtOnce), limiter: newLimiter(), fresh: newFresh(o.Fresh)}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if o.PublicURL != "" {
		u, err := url.Parse(strings.TrimRight(o.PublicURL, "/"))
		if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || u.Path != "" {
			return nil, fmt.Errorf("%w public URL %q: want https://host, without a path", tidings.ErrInvalid, o.PublicURL)
		}
		s.public = u
	}
	var err error
	if s.seal, err = newSealer(o.EncryptionKey, o.OldKeys...); err != nil {
		return nil, err
	}
	if s.assets, err = loadAssets(); err != nil {
		return nil, err
	}
	if s.pages, err = parsePages(s.assets); err != nil {
		return nil, err
	}
	s.sessions = newSessions(o.Store, s.public != nil && s.public.Scheme == "https")
	s.sessions.ErrorFunc = func(w http.ResponseWriter, r *http.Request, err error) {
		s.pageError(w, r, fmt.Errorf("session: %w", err))
	}
	if o.NoPages {
		s.handler = s.guard(s.machineRoutes())
		return s, nil
	}
	s.handler = s.guard(tagged(s.routes()))
	return s, nil
}

// ServeHTTP serves every route.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// base is the scheme and host that people see.
func (s *Server) base(r *http.Request) string {
	if s.public != nil {
		return s.public.String()
	}
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}
