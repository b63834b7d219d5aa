package web

import (
	"context"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// RevBody is what a change answers that all of the person's devices are told of.
type RevBody struct {
	Rev int64 `json:"rev" doc:"The person's counter of changes"`
}

type revOutput struct{ Body RevBody }

// preferred tells the person's devices of a change of what they prefer, and answers.
func (s *Server) preferred(ctx context.Context, what string, res tidings.ReadResult, err error) (*revOutput, error) {
	if err != nil {
		return nil, s.failed(ctx, what, err)
	}
	s.o.Live.Tell(context.WithoutCancel(ctx), tidings.Result{Reads: []tidings.ReadResult{res}})
	return &revOutput{RevBody{res.Rev}}, nil
}

// MuteView is a muted channel, category or guild.
type MuteView struct {
	Scope discord.Snowflake `json:"scope" doc:"A channel, a category or forum with all that is in it, or a guild"`
	Until *time.Time        `json:"until" doc:"null for ever"`
}

type mutesOutput struct {
	Body struct {
		Mutes []MuteView `json:"mutes"`
	}
}

func (s *Server) getMutes(ctx context.Context, _ *struct{}) (*mutesOutput, error) {
	mutes, err := s.o.Store.Mutes(ctx, asking(ctx).user)
	if err != nil {
		return nil, s.failed(ctx, "list mutes", err)
	}
	out := &mutesOutput{}
	out.Body.Mutes = make([]MuteView, 0, len(mutes))
	for _, m := range mutes {
		out.Body.Mutes = append(out.Body.Mutes, MuteView{m.Scope, m.Until})
	}
	return out, nil
}

type muteInput struct {
	Scope ID `path:"scope" doc:"A channel, category, forum or guild"`
	Body  *struct {
		Until   *time.Time `json:"until,omitempty" doc:"When the mute ends. Without until and minutes: never"`
		Minutes int        `json:"minutes,omitempty" minimum:"1" maximum:"5256000" doc:"Instead of until: how long from now"`
	} `required:"false"`
}

func (s *Server) putMute(ctx context.Context, in *muteInput) (*revOutput, error) {
	scope, err := parseID[discord.Snowflake]("path.scope", in.Scope)
	if err != nil {
		return nil, err
	}
	var until time.Time
	if b := in.Body; b != nil {
		switch {
		case b.Until != nil && b.Minutes > 0:
			return nil, fieldProblem("body.until", "until and minutes exclude each other; send at most one", nil)
		case b.Minutes > 0:
			until = time.Now().Add(time.Duration(b.Minutes) * time.Minute)
		case b.Until != nil && (b.Until.Before(time.Now()) || b.Until.Year() > 9999):
			return nil, fieldProblem("body.until", "expected a time to come", b.Until)
		case b.Until != nil:
			until = *b.Until
		}
	}
	p := asking(ctx)
	if !inSight(s.o.Access.Visible(p.user), scope) {
		return nil, s.failed(ctx, "mute", tidings.ErrNotFound)
	}
	res, err := s.o.Store.Mute(ctx, p.user, scope, until)
	return s.preferred(ctx, "mute", res, err)
}

// inSight reports whether a guild, channel, category or forum is in what the person may see.
func inSight(set *tidings.VisibleSet, id discord.Snowflake) bool {
	for _, g := range set.Guilds {
		if discord.Snowflake(g.Guild.ID) == id {
			return true
		}
		for _, list := range [][]tidings.Channel{g.Channels, g.Parents} {
			for _, c := range list {
				if discord.Snowflake(c.ID) == id {
					return true
				}
			}
		}
	}
	return false
}

type unmuteInput struct {
	Scope ID `path:"scope"`
}

func (s *Server) deleteMute(ctx context.Context, in *unmuteInput) (*revOutput, error) {
	scope, err := parseID[discord.Snowflake]("path.scope", in.Scope)
	if err != nil {
		return nil, err
	}
	res, err := s.o.Store.Unmute(ctx, asking(ctx).user, scope)
	return s.preferred(ctx, "unmute", res, err)
}

type ignoredOutput struct {
	Body struct {
		Authors []discord.UserID `json:"authors"`
	}
}

func (s *Server) getIgnored(ctx context.Context, _ *struct{}) (*ignoredOutput, error) {
	authors, err := s.o.Store.Ignored(ctx, asking(ctx).user)
	if err != nil {
		return nil, s.failed(ctx, "list who is ignored", err)
	}
	out := &ignoredOutput{}
	out.Body.Authors = append([]discord.UserID{}, authors...)
	return out, nil
}

type authorInput struct {
	Author ID `path:"author" doc:"A person, a bot or a webhook"`
}

func (s *Server) putIgnored(ctx context.Context, in *authorInput) (*revOutput, error) {
	author, err := parseID[discord.UserID]("path.author", in.Author)
	if err != nil {
		return nil, err
	}
	p := asking(ctx)
	if author == p.user {
		return nil, fieldProblem("path.author", "your own messages never count as unread; there is nothing to ignore", in.Author)
	}
	res, err := s.o.Store.Ignore(ctx, p.user, author)
	return s.preferred(ctx, "ignore", res, err)
}

func (s *Server) deleteIgnored(ctx context.Context, in *authorInput) (*revOutput, error) {
	author, err := parseID[discord.UserID]("path.author", in.Author)
	if err != nil {
		return nil, err
	}
	res, err := s.o.Store.Unignore(ctx, asking(ctx).user, author)
	return s.preferred(ctx, "count again", res, err)
}

// SuppressedView is what does not mention the person in a guild.
type SuppressedView struct {
	Guild    discord.GuildID `json:"guild"`
	Everyone bool            `json:"suppress_everyone"`
	Roles    bool            `json:"suppress_roles"`
}

type suppressedOutput struct {
	Body struct {
		Guilds []SuppressedView `json:"guilds"`
	}
}

func (s *Server) getSuppressed(ctx context.Context, _ *struct{}) (*suppressedOutput, error) {
	list, err := s.o.Store.Suppressed(ctx, asking(ctx).user)
	if err != nil {
		return nil, s.failed(ctx, "list what is suppressed", err)
	}
	out := &suppressedOutput{}
	out.Body.Guilds = make([]SuppressedView, 0, len(list))
	for _, x := range list {
		out.Body.Guilds = append(out.Body.Guilds, SuppressedView{x.Guild, x.Everyone, x.Roles})
	}
	return out, nil
}

type suppressInput struct {
	Guild ID `path:"guild"`
	Body  struct {
		Everyone bool `json:"suppress_everyone,omitempty" doc:"@everyone and @here do not mention you"`
		Roles    bool `json:"suppress_roles,omitempty" doc:"Your roles do not mention you"`
	}
}

func (s *Server) putSuppressed(ctx context.Context, in *suppressInput) (*revOutput, error) {
	guild, err := parseID[discord.GuildID]("path.guild", in.Guild)
	if err != nil {
		return nil, err
	}
	p := asking(ctx)
	if !hasGuild(s.o.Access.Visible(p.user), guild) {
		return nil, s.failed(ctx, "suppress mentions", tidings.ErrNotFound)
	}
	res, err := s.o.Store.Suppress(ctx, p.user, guild, tidings.Suppression{Everyone: in.Body.Everyone, Roles: in.Body.Roles})
	return s.preferred(ctx, "suppress mentions", res, err)
}

type unsuppressInput struct {
	Guild ID `path:"guild"`
}

func (s *Server) deleteSuppressed(ctx context.Context, in *unsuppressInput) (*revOutput, error) {
	guild, err := parseID[discord.GuildID]("path.guild", in.Guild)
	if err != nil {
		return nil, err
	}
	res, err := s.o.Store.Suppress(ctx, asking(ctx).user, guild, tidings.Suppression{})
	return s.preferred(ctx, "suppress nothing", res, err)
}
