package web

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// api registers the routes that huma documents and validates.
func (s *Server) api(mux *http.ServeMux) {
	config := huma.DefaultConfig("Tidings", s.o.Version)
	config.Info.Description = "One unread feed over every Discord channel that you may read. Ids are strings, errors are RFC 9457 problems. " +
		"The live socket at /api/live is described in docs/LIVE.md."
	config.OpenAPIPath, config.DocsPath, config.SchemasPath = "/api/openapi", "", ""
	config.CreateHooks = nil // no $schema in answers: their shape is stable
	config.RejectUnknownQueryParameters = true
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"token":   {Type: "http", Scheme: "bearer", Description: "Made by: tidings token create"},
		"session": {Type: "apiKey", In: "cookie", Name: s.sessions.Cookie.Name},
	}
	for _, id := range []any{discord.ChannelID(0), discord.GuildID(0), discord.MessageID(0), discord.UserID(0), discord.RoleID(0), discord.WebhookID(0), discord.Snowflake(0)} {
		config.Components.Schemas.RegisterTypeAlias(reflect.TypeOf(id), reflect.TypeFor[givenID]())
	}
	api := humago.New(mux, config)
	s.described = api.OpenAPI()
	api.UseMiddleware(s.authorize)

	get(api, "/api/messages", "Messages of a channel, newest first", s.getMessages)
	post(api, "/api/messages/read", "Mark as read up to a message", s.postRead)
	post(api, "/api/messages/unread", "Mark as unread from a message on", s.postUnread)
	post(api, "/api/messages/undo", "Take a mark back", s.postUndo)
	get(api, "/api/mutes", "What is muted", s.getMutes)
	put(api, "/api/mutes/{scope}", "Mute a channel, category, forum or guild", s.putMute)
	del(api, "/api/mutes/{scope}", "End a mute", s.deleteMute)
	get(api, "/api/ignored", "Authors whose messages count for nothing", s.getIgnored)
	put(api, "/api/ignored/{author}", "Ignore an author", s.putIgnored)
	del(api, "/api/ignored/{author}", "Count an author's messages again", s.deleteIgnored)
	get(api, "/api/saved", "Messages saved for later", s.getSaved)
	put(api, "/api/saved/{channel}/{message}", "Save a message for later", s.putSaved)
	del(api, "/api/saved/{channel}/{message}", "Take a saved message back", s.deleteSaved)
	get(api, "/api/suppressed", "What does not mention you, by guild", s.getSuppressed)
	put(api, "/api/suppressed/{guild}", "Let @everyone or your roles not mention you in a guild", s.putSuppressed)
	del(api, "/api/suppressed/{guild}", "Let everything mention you in a guild again", s.deleteSuppressed)
	get(api, "/api/unread", "Unread and mention counts of every visible channel", s.getUnread)
	costly(api, "verify", "/api/unread/verify", "Every count beside a recount from the messages", s.getVerify)
	get(api, "/api/feed", "Messages of all visible channels together", s.getFeed)
	costly(api, "search", "/api/search", "Search in all visible channels", s.getSearch)
	s.export(api)
	get(api, "/api/keywords", "Words and phrases that you want to hear of", s.getKeywords)
	put(api, "/api/keywords", "Replace your keywords", s.putKeywords)
	get(api, "/api/views", "Your saved views, with their counts", s.getViews)
	post(api, "/api/views", "Save a view", s.postView)
	get(api, "/api/views/{id}", "One saved view", s.getView)
	put(api, "/api/views/{id}", "Change a saved view", s.putView)
	del(api, "/api/views/{id}", "Delete a saved view, and its feed", s.deleteView)
	post(api, "/api/views/{id}/feed", "Give a view a secret address for feed readers, instead of the one that it had", s.postViewFeed)
	del(api, "/api/views/{id}/feed", "End a view's secret address", s.deleteViewFeed)
	get(api, "/api/webhooks", "Addresses that are told of your mentions and the like", s.getWebhooks)
	post(api, "/api/webhooks", "Have an address told", s.postWebhook)
	del(api, "/api/webhooks/{id}", "Tell an address no more", s.deleteWebhook)
	get(api, "/api/notifications", "Of what you are notified, when, and in which browsers", s.getNotifications)
	put(api, "/api/notifications", "Set of what you are notified, and quiet hours", s.putNotifications)
	put(api, "/api/notifications/levels/{scope}", "Choose of what you are notified in a channel, category, forum or guild", s.putLevel)
	del(api, "/api/notifications/levels/{scope}", "Let what a place is in decide again", s.deleteLevel)
	post(api, "/api/notifications/browsers", "Have a browser told by Web Push", s.postBrowser)
	del(api, "/api/notifications/browsers/{id}", "Tell a browser no more", s.deleteBrowser)
	get(api, "/api/guilds", "Visible guilds and channels", s.getGuilds)
	get(api, "/api/channels/{id}", "One channel", s.getChannel)
	costly(api, "fresh", "/api/channels/{id}/pins", "What is pinned in a channel", s.getPins)
	links := operation(http.MethodPost, "/api/links", "Fresh links to files of messages, whose old ones have expired", scopeRead)
	links.Metadata["limit"] = "fresh"
	links.Errors = append(links.Errors, http.StatusTooManyRequests)
	huma.Register(api, links, s.postLinks)
	register(api, http.MethodGet, "/api/channels/{id}/webhooks", "Webhooks of a channel", scopeWebhooks, s.getChannelWebhooks)
	register(api, http.MethodPost, "/api/channels/{id}/webhooks", "Make a webhook that writes into a channel", scopeWebhooks, s.postChannelWebhook)
	register(api, http.MethodDelete, "/api/channels/{id}/webhooks/{webhook}", "Delete a channel's webhook", scopeWebhooks, s.deleteChannelWebhook)
	register(api, http.MethodPost, "/api/channels/{id}/followers", "Have a channel follow an announcement channel", scopeWebhooks, s.postFollower)
	register(api, http.MethodGet, "/api/tokens", "Your API tokens", scopeAdmin, s.getTokens)
	register(api, http.MethodPost, "/api/tokens", "Make an API token", scopeAdmin, s.postToken)
	register(api, http.MethodDelete, "/api/tokens/{id}", "Revoke an API token", scopeAdmin, s.deleteToken)
	register(api, http.MethodGet, "/api/sessions", "Browsers in which you are signed in", scopeAdmin, s.getSessions)
	register(api, http.MethodDelete, "/api/sessions", "Sign out everywhere", scopeAdmin, s.deleteSessions)
	register(api, http.MethodDelete, "/api/sessions/{id}", "Sign out in one browser", scopeAdmin, s.deleteSession)
	get(api, "/api/coverage", "What you see on Discord and not here", s.getCoverage)
	get(api, "/api/me", "Who is asking", s.getMe)
	get(api, "/api/status", "How the service is", s.getStatus)
	if s.o.Admin != nil {
		s.adminAPI(api)
	}
}

func get[I, O any](api huma.API, path, summary string, h func(context.Context, *I) (*O, error)) {
	huma.Register(api, operation(http.MethodGet, path, summary, scopeRead), h)
}

// costly registers a reading operation that has a limit.
func costly[I, O any](api huma.API, limit, path, summary string, h func(context.Context, *I) (*O, error)) {
	op := operation(http.MethodGet, path, summary, scopeRead)
	op.Metadata["limit"] = limit
	op.Errors = append(op.Errors, http.StatusTooManyRequests)
	huma.Register(api, op, h)
}

// post, put and del register operations that change what is kept for somebody, such as how far they have read.
func post[I, O any](api huma.API, path, summary string, h func(context.Context, *I) (*O, error)) {
	huma.Register(api, operation(http.MethodPost, path, summary, scopeAck), h)
}

func put[I, O any](api huma.API, path, summary string, h func(context.Context, *I) (*O, error)) {
	huma.Register(api, operation(http.MethodPut, path, summary, scopeAck), h)
}

func del[I, O any](api huma.API, path, summary string, h func(context.Context, *I) (*O, error)) {
	huma.Register(api, operation(http.MethodDelete, path, summary, scopeAck), h)
}

func register[I, O any](api huma.API, method, path, summary, scope string, h func(context.Context, *I) (*O, error)) {
	huma.Register(api, operation(method, path, summary, scope), h)
}

func operation(method, path, summary, scope string) huma.Operation {
	return huma.Operation{
		Method: method, Path: path, Summary: summary, OperationID: operationID(method, path),
		Security:     []map[string][]string{{"token": {scope}}, {"session": {}}},
		Errors:       []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusUnprocessableEntity},
		MaxBodyBytes: maxBody, BodyReadTimeout: 5 * time.Second,
		Metadata: map[string]any{"scope": scope},
	}
}

// operationID is a name for clients that are generated, such as get-unread-verify.
func operationID(method, path string) string {
	words := strings.FieldsFunc(strings.TrimPrefix(path, "/api/"), func(c rune) bool { return c == '/' || c == '{' || c == '}' })
	return strings.ToLower(method) + "-" + strings.Join(words, "-")
}

// authorize answers 401, 403 and 429 before an operation looks at its input.
func (s *Server) authorize(ctx huma.Context, next func(huma.Context)) {
	r, w := humago.Unwrap(ctx)
	scope, _ := ctx.Operation().Metadata["scope"].(string)
	p, err := s.identify(r)
	switch {
	case err != nil:
		s.fail(w, r, err)
	case p.user == 0:
		s.fail(w, r, notSignedIn())
	case !p.may(scope):
		s.fail(w, r, scopeMissing(scope))
	default:
		if err := queryProblem(r); err != nil {
			s.fail(w, r, err)
			return
		}
		if what, ok := ctx.Operation().Metadata["limit"].(string); ok {
			if err := s.limited(r.Context(), what, p, s.address(r)); err != nil {
				s.fail(w, r, err)
				return
			}
		}
		next(huma.WithValue(huma.WithValue(ctx, whoKey{}, p), askedKey{}, asked{s.base(r), s.address(r), r.UserAgent()}))
	}
}

type askedKey struct{}

// asked is how the service was asked: at which address of its own, from where, and by what.
type asked struct{ base, from, agent string }

// askedBy is what the client calls itself.
func askedBy(ctx context.Context) string {
	a, _ := ctx.Value(askedKey{}).(asked)
	return strings.ToValidUTF8(a.agent, "")
}

// limitedNow counts an expensive call that shows as one only in the operation.
func (s *Server) limitedNow(ctx context.Context, what string) error {
	a, _ := ctx.Value(askedKey{}).(asked)
	return s.limited(ctx, what, asking(ctx), a.from)
}

// withAsking is a context in which asking finds the person.
func withAsking(ctx context.Context, p who) context.Context {
	return context.WithValue(ctx, whoKey{}, p)
}

// asking is the person behind an operation; authorize has put them there.
func asking(ctx context.Context) who {
	p, _ := ctx.Value(whoKey{}).(who)
	return p
}

// ID is a snowflake: 1 to 20 digits in a string, because JavaScript's numbers are too small for it.
type ID string

// Schema describes an ID to huma.
func (ID) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Pattern: `^[0-9]{1,20}$`, Description: "A Discord id: 1 to 20 digits", Examples: []any{"175928847299117063"}}
}

// givenID is an id in an answer, which is null where there is none.
type givenID string

// Schema describes a givenID to huma.
func (givenID) Schema(r huma.Registry) *huma.Schema {
	s := ID("").Schema(r)
	s.Nullable = true
	return s
}

// Cursor is where the following page begins: null where there is none.
type Cursor string

// Schema describes a Cursor to huma.
func (Cursor) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Nullable: true, Description: "Pass as cursor for the following page; null at the end"}
}

// MarshalJSON writes null for the end.
func (c Cursor) MarshalJSON() ([]byte, error) {
	if c == "" {
		return []byte("null"), nil
	}
	return json.Marshal(string(c))
}

func (id ID) given() bool { return id != "" }

// parseID reads an optional id of a field: 0 when it was not given.
func parseID[T ~uint64](field string, id ID) (T, error) {
	if !id.given() {
		return 0, nil
	}
	n, err := strconv.ParseUint(string(id), 10, 63) // no id of Discord's is greater, and Postgres holds no greater one
	if err != nil || n == 0 {
		return 0, fieldProblem(field, "expected a Discord id, digits only", id)
	}
	return T(n), nil
}

// readable finds a channel in what the person may read. One that may not be read is the same as one that does not exist.
func readable(set *tidings.VisibleSet, id discord.ChannelID) (tidings.VisibleGuild, tidings.Channel, error) {
	for _, g := range set.Guilds {
		for _, c := range g.Channels {
			if c.ID == id {
				return g, c, nil
			}
		}
	}
	return tidings.VisibleGuild{}, tidings.Channel{}, tidings.ErrNotFound
}

func hasGuild(set *tidings.VisibleSet, id discord.GuildID) bool {
	for _, g := range set.Guilds {
		if g.Guild.ID == id {
			return true
		}
	}
	return false
}

// narrowed is the part of a set that is about one channel.
func narrowed(set *tidings.VisibleSet, g tidings.VisibleGuild, c tidings.Channel) *tidings.VisibleSet {
	g.Channels = []tidings.Channel{c}
	return &tidings.VisibleSet{User: set.User, Epoch: set.Epoch, Guilds: []tidings.VisibleGuild{g}}
}
