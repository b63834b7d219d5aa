package web

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/store"
)

// notifyPrefs keeps of what people are notified.
type notifyPrefs interface {
	NotifyPrefs(ctx context.Context, user discord.UserID) (tidings.NotifyPrefs, error)
	SetNotifyLevel(ctx context.Context, user discord.UserID, scope discord.Snowflake, level tidings.NotifyLevel) (tidings.ReadResult, error)
	UnsetNotifyLevel(ctx context.Context, user discord.UserID, scope discord.Snowflake) (tidings.ReadResult, error)
	SetNotifySettings(ctx context.Context, user discord.UserID, level tidings.NotifyLevel, keywords bool, quiet *tidings.QuietHours) (tidings.ReadResult, error)
}

// QuietView is a time of the day in which nobody is notified.
type QuietView struct {
	From string `json:"from" pattern:"^([01][0-9]|2[0-3]):[0-5][0-9]$" doc:"Such as 22:00"`
	To   string `json:"to" pattern:"^([01][0-9]|2[0-3]):[0-5][0-9]$" doc:"Such as 07:30; exclusive. It may be on the next day"`
	Zone string `json:"zone" maxLength:"64" doc:"The time zone, such as Europe/Berlin"`
}

func (q *QuietView) hours() *tidings.QuietHours {
	if q == nil {
		return nil
	}
	minutes := func(s string) int {
		var h, m int
		fmt.Sscanf(s, "%d:%d", &h, &m) // its pattern was checked
		return h*60 + m
	}
	return &tidings.QuietHours{From: minutes(q.From), To: minutes(q.To), Zone: q.Zone}
}

func quietView(q *tidings.QuietHours) *QuietView {
	if q == nil {
		return nil
	}
	clock := func(n int) string { return fmt.Sprintf("%02d:%02d", n/60, n%60) }
	return &QuietView{clock(q.From), clock(q.To), q.Zone}
}

// LevelView is of what the person is notified in one place.
type LevelView struct {
	Scope discord.Snowflake `json:"scope" doc:"A channel, a category or forum with all that is in it, or a guild"`
	Level string            `json:"level" enum:"all,mentions,nothing"`
}

// BrowserView is a browser that is told by Web Push.
type BrowserView struct {
	ID        string     `json:"id"`
	Agent     string     `json:"agent" doc:"What the browser calls itself"`
	Words     bool       `json:"words" doc:"What was written is told, too"`
	Current   bool       `json:"current" doc:"It belongs to the session that is asking"`
	CreatedAt time.Time  `json:"created_at"`
	LastAt    *time.Time `json:"last_at" doc:"When it was last told something, or could not be"`
	LastError string     `json:"last_error" doc:"Empty when the last one arrived"`
}

func browserView(p store.PushSubscription, session string) BrowserView {
	return BrowserView{ownID(p.ID), p.Agent, p.Words, p.Session == session, p.CreatedAt.UTC(), p.LastAt, p.LastError}
}

// NotificationsBody is of what the person is notified, when, and where.
type NotificationsBody struct {
	Level    string        `json:"level" enum:"all,mentions,nothing" doc:"In places without a level of their own"`
	Keywords bool          `json:"keywords" doc:"Messages with a keyword of theirs, too, wherever mentions are"`
	Quiet    *QuietView    `json:"quiet" doc:"null for none"`
	Levels   []LevelView   `json:"levels" doc:"What was chosen for single places. Of several that a channel is in, the innermost counts"`
	PushKey  string        `json:"push_key" doc:"What browsers subscribe with (applicationServerKey); empty while Web Push is not available"`
	Browsers []BrowserView `json:"browsers" doc:"Those that are told by Web Push"`
}

type notificationsOutput struct{ Body NotificationsBody }

func (s *Server) getNotifications(ctx context.Context, _ *struct{}) (*notificationsOutput, error) {
	p := asking(ctx)
	prefs, err := s.o.Store.NotifyPrefs(ctx, p.user)
	if err != nil {
		return nil, s.failed(ctx, "read notifications", err)
	}
	list, err := s.o.Store.PushSubscriptions(ctx, p.user)
	if err != nil {
		return nil, s.failed(ctx, "read notifications", err)
	}
	b := NotificationsBody{
		Level: prefs.Level(0, 0, 0, 0).String(), Keywords: prefs.Keywords, Quiet: quietView(prefs.Quiet),
		Levels: []LevelView{}, Browsers: make([]BrowserView, 0, len(list)),
	}
	for scope, level := range prefs.Levels {
		if scope != 0 {
			b.Levels = append(b.Levels, LevelView{scope, level.String()})
		}
	}
	slices.SortFunc(b.Levels, func(x, y LevelView) int { return cmp.Compare(x.Scope, y.Scope) })
	for _, x := range list {
		b.Browsers = append(b.Browsers, browserView(x, p.session))
	}
	if b.PushKey, _, err = s.PushKeys(ctx); err != nil {
		s.log.Error("web push is not available", "err", err)
	}
	return &notificationsOutput{b}, nil
}

type notificationsInput struct {
	Body struct {
		Level    string     `json:"level" enum:"all,mentions,nothing"`
		Keywords bool       `json:"keywords"`
		Quiet    *QuietView `json:"quiet,omitempty" doc:"Without it there are none"`
	}
}

func (s *Server) putNotifications(ctx context.Context, in *notificationsInput) (*revOutput, error) {
	level, err := tidings.ParseNotifyLevel(in.Body.Level)
	if err != nil {
		return nil, s.failed(ctx, "set notifications", err)
	}
	res, err := s.o.Store.SetNotifySettings(ctx, asking(ctx).user, level, in.Body.Keywords, in.Body.Quiet.hours())
	return s.preferred(ctx, "set notifications", res, err)
}

type levelInput struct {
	Scope ID `path:"scope" doc:"A channel, category, forum or guild"`
	Body  struct {
		Level string `json:"level" enum:"all,mentions,nothing"`
	}
}

func (s *Server) putLevel(ctx context.Context, in *levelInput) (*revOutput, error) {
	scope, err := parseID[discord.Snowflake]("path.scope", in.Scope)
	if err != nil {
		return nil, err
	}
	level, err := tidings.ParseNotifyLevel(in.Body.Level)
	if err != nil {
		return nil, s.failed(ctx, "choose notifications", err)
	}
	p := asking(ctx)
	if !inSight(s.o.Access.Visible(p.user), scope) {
		return nil, s.failed(ctx, "choose notifications", tidings.ErrNotFound)
	}
	res, err := s.o.Store.SetNotifyLevel(ctx, p.user, scope, level)
	return s.preferred(ctx, "choose notifications", res, err)
}

type unlevelInput struct {
	Scope ID `path:"scope"`
}

func (s *Server) deleteLevel(ctx context.Context, in *unlevelInput) (*revOutput, error) {
	scope, err := parseID[discord.Snowflake]("path.scope", in.Scope)
	if err != nil {
		return nil, err
	}
	res, err := s.o.Store.UnsetNotifyLevel(ctx, asking(ctx).user, scope)
	return s.preferred(ctx, "choose no notifications", res, err)
}

type browserInput struct {
	Body struct {
		PushAddress
		Words bool `json:"words,omitempty" doc:"Tell what was written, and not only that something was"`
	}
}

type browserOutput struct{ Body BrowserView }

// postBrowser sends what may be read to elsewhere, so whoever asks must be allowed to read, and not only to mark.
func (s *Server) postBrowser(ctx context.Context, in *browserInput) (*browserOutput, error) {
	p := asking(ctx)
	if !p.may(scopeRead) {
		return nil, scopeMissing(scopeRead)
	}
	if field, why := in.Body.check(); why != "" {
		return nil, fieldProblem(field, why, nil)
	}
	sealed, err := in.Body.sealed(s.seal, p.user)
	if err != nil {
		return nil, s.failed(ctx, "have a browser told", err)
	}
	sub, err := s.o.Store.SavePush(ctx, store.PushSubscription{
		User: p.user, Session: p.session, Sealed: sealed, Agent: askedBy(ctx), Words: in.Body.Words,
	}, in.Body.Endpoint)
	if err != nil {
		return nil, s.failed(ctx, "have a browser told", err)
	}
	return &browserOutput{browserView(sub, p.session)}, nil
}

type browserIDInput struct {
	ID int64 `path:"id" minimum:"1"`
}

func (s *Server) deleteBrowser(ctx context.Context, in *browserIDInput) (*struct{}, error) {
	if err := s.o.Store.DeletePush(ctx, asking(ctx).user, in.ID); err != nil {
		return nil, s.failed(ctx, "tell a browser no more", err)
	}
	return nil, nil
}
