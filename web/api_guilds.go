package web

import (
	"context"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// GuildView is a guild that the person may read something in.
type GuildView struct {
	ID        discord.GuildID  `json:"id"`
	Name      string           `json:"name"`
	Icon      string           `json:"icon" doc:"Discord's icon hash, empty for none"`
	Available bool             `json:"available" doc:"false while Discord reports an outage of it"`
	Roles     []discord.RoleID `json:"roles" doc:"The person's"`
	Channels  []ChannelView    `json:"channels" doc:"Readable ones"`
	Parents   []ChannelView    `json:"parents" doc:"Categories and forums that contain them"`
}

// ChannelView is a channel, thread, category or forum.
type ChannelView struct {
	ID       discord.ChannelID `json:"id"`
	Guild    discord.GuildID   `json:"guild"`
	Parent   discord.ChannelID `json:"parent" doc:"null for none"`
	Type     int               `json:"type"`
	Name     string            `json:"name"`
	Topic    string            `json:"topic"`
	Position int               `json:"position"`
	NSFW     bool              `json:"nsfw"`
	Archived bool              `json:"archived"`
}

func channelView(c tidings.Channel) ChannelView {
	return ChannelView{c.ID, c.Guild, c.Parent, c.Type, c.Name, c.Topic, c.Position, c.NSFW, c.Archived}
}

func channelViews(cs []tidings.Channel) []ChannelView {
	out := make([]ChannelView, 0, len(cs))
	for _, c := range cs {
		out = append(out, channelView(c))
	}
	return out
}

type guildsOutput struct {
	Body struct {
		Guilds []GuildView `json:"guilds"`
	}
}

func (s *Server) getGuilds(ctx context.Context, _ *struct{}) (*guildsOutput, error) {
	out := &guildsOutput{}
	out.Body.Guilds = guildViews(s.o.Access.Visible(asking(ctx).user))
	return out, nil
}

func guildViews(set *tidings.VisibleSet) []GuildView {
	out := make([]GuildView, 0, len(set.Guilds))
	for _, g := range set.Guilds {
		roles := g.Roles
		if roles == nil {
			roles = []discord.RoleID{}
		}
		out = append(out, GuildView{
			g.Guild.ID, g.Guild.Name, g.Guild.Icon, g.Guild.Available, roles, channelViews(g.Channels), channelViews(g.Parents),
		})
	}
	return out
}

type channelInput struct {
	ID ID `path:"id"`
}

type channelOutput struct{ Body ChannelDetail }

func (s *Server) getChannel(ctx context.Context, in *channelInput) (*channelOutput, error) {
	id, err := parseID[discord.ChannelID]("path.id", in.ID)
	if err != nil {
		return nil, err
	}
	user := asking(ctx).user
	detail, err := s.channelDetail(ctx, s.o.Access.Visible(user), id)
	if err == nil {
		err = s.confirmed(ctx, user, detail.Guild, id)
	}
	if err != nil {
		return nil, s.failed(ctx, "read a channel", err)
	}
	return &channelOutput{detail}, nil
}

// MeBody is who is asking.
type MeBody struct {
	ID     discord.UserID `json:"id"`
	Name   string         `json:"name"`
	Avatar string         `json:"avatar"`
	Rev    int64          `json:"rev"`
	Scopes []string       `json:"scopes"`
}

type meOutput struct{ Body MeBody }

func (s *Server) getMe(ctx context.Context, _ *struct{}) (*meOutput, error) {
	p := asking(ctx)
	u, err := s.o.Store.User(ctx, p.user)
	if err != nil {
		return nil, s.failed(ctx, "read a user", err)
	}
	scopes := p.scopes
	if p.cookie {
		scopes = []string{scopeRead, scopeAck}
	}
	return &meOutput{MeBody{u.ID, u.Name, u.Avatar, u.Rev, scopes}}, nil
}

// Status is how the service is, as far as everybody may know it.
type Status struct {
	Version string    `json:"version"`
	Now     time.Time `json:"now"`
	// Gateway is "on", "off" or "away".
	Gateway string `json:"gateway,omitempty"`
	// LastEvent is when Discord last told something.
	LastEvent *time.Time `json:"last_event,omitempty"`
	// Healing is how far what is missing has been fetched.
	Healing *HealingStatus `json:"healing,omitempty"`
	// Requests is how much of what Discord allows the bot is used.
	Requests *RequestStatus `json:"requests,omitempty"`
	// Overview is what only operators see.
	Overview *Overview `json:"overview,omitempty" doc:"For those whom ADMINS names only"`
	// Alerts are the kinds of jobs that fail persistently.
	Alerts []AlertStatus `json:"alerts,omitempty"`
}

// AlertStatus says that a kind of background job fails persistently. Why is for operators.
type AlertStatus struct {
	Kind     string    `json:"kind"`
	Since    time.Time `json:"since"`
	Failures int       `json:"failures"`
}

// RequestStatus is the budget of requests to Discord.
type RequestStatus struct {
	// Shared is false while Redis is away and each process keeps to its part of the limit.
	Shared    bool `json:"shared"`
	Processes int  `json:"processes"`
	Used      int  `json:"used"`    // in the current second, by all processes
	Allowed   int  `json:"allowed"` // a second
	Refused   int  `json:"refused"` // answers of 401, 403 and 429 in ten minutes
	Brake     int  `json:"brake"`   // the number of them at which requests stop; Discord bans at 10,000
}

type statusOutput struct{ Body Status }

func (s *Server) getStatus(ctx context.Context, _ *struct{}) (*statusOutput, error) {
	var st Status
	if s.o.Status != nil {
		var err error
		if st, err = s.o.Status(ctx); err != nil {
			return nil, s.failed(ctx, "read the status", err)
		}
	}
	st.Version, st.Now = s.o.Version, time.Now().UTC()
	if s.o.Admin != nil && s.o.Admin.Overview != nil && s.operator(asking(ctx)) {
		o := s.o.Admin.Overview(ctx)
		st.Overview = &o
	}
	return &statusOutput{st}, nil
}
