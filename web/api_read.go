package web

import (
	"context"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// ReadBody is what a mark changed.
type ReadBody struct {
	Rev      int64          `json:"rev" doc:"The person's counter of marks; pass it to undo"`
	Channels []ReadChannelV `json:"channels"`
}

// ReadChannelV is one channel that a mark changed.
type ReadChannelV struct {
	ID          discord.ChannelID `json:"id"`
	Unread      int               `json:"unread"`
	Mentions    int               `json:"mentions"`
	ReadID      discord.MessageID `json:"read_id"`
	FirstUnread discord.MessageID `json:"first_unread" doc:"null for none"`
	Version     int64             `json:"version"`
}

type readOutput struct{ Body ReadBody }

type readInput struct {
	Body struct {
		Channel ID         `json:"channel,omitempty" doc:"Exactly one of channel, guild and all"`
		Guild   ID         `json:"guild,omitempty"`
		All     bool       `json:"all,omitempty"`
		UpTo    ID         `json:"up_to,omitempty" doc:"The newest message that the person was shown. Later ones stay unread. Exactly one of up_to and older_than"`
		Older   *time.Time `json:"older_than,omitempty" doc:"Read what was written before this time, such as 2026-03-01T00:00:00Z"`
		Rev     *int64     `json:"rev,omitempty" minimum:"0" doc:"For automatic marks: the rev that was known, which may be 0; such a mark loses to a newer one by hand. Left out: by hand"`
	}
}

func (s *Server) postRead(ctx context.Context, in *readInput) (*readOutput, error) {
	b, p := in.Body, asking(ctx)
	given := 0
	for _, g := range []bool{b.Channel.given(), b.Guild.given(), b.All} {
		if g {
			given++
		}
	}
	if given != 1 {
		return nil, fieldProblem("body.channel", "expected exactly one of channel, guild and all", nil)
	}
	m := tidings.MarkRead{All: b.All}
	if b.Rev != nil {
		m.Auto, m.Rev = true, *b.Rev
	}
	var err error
	if m.Channel, err = parseID[discord.ChannelID]("body.channel", b.Channel); err != nil {
		return nil, err
	}
	if m.Guild, err = parseID[discord.GuildID]("body.guild", b.Guild); err != nil {
		return nil, err
	}
	if m.UpTo, err = parseID[discord.MessageID]("body.up_to", b.UpTo); err != nil {
		return nil, err
	}
	switch {
	case b.UpTo.given() == (b.Older != nil):
		return nil, fieldProblem("body.up_to", "expected exactly one of up_to and older_than", nil)
	case b.Older != nil:
		first := tidings.FirstID(*b.Older)
		if b.Older.After(time.Now()) || first <= 1 {
			return nil, fieldProblem("body.older_than", "expected a time of the past, since 2015", b.Older)
		}
		m.UpTo = first - 1
	}
	set := s.o.Access.Visible(p.user)
	if m.Channel != 0 {
		if _, _, err := readable(set, m.Channel); err != nil {
			return nil, s.failed(ctx, "mark as read", err)
		}
	}
	if m.Guild != 0 && !hasGuild(set, m.Guild) {
		return nil, s.failed(ctx, "mark as read", tidings.ErrNotFound)
	}
	res, err := s.o.Store.MarkRead(ctx, set, m)
	return s.marked(ctx, "mark as read", res, err)
}

type unreadInput struct {
	Body struct {
		Channel ID `json:"channel"`
		Message ID `json:"message" doc:"The first message that is to be unread again"`
	}
}

func (s *Server) postUnread(ctx context.Context, in *unreadInput) (*readOutput, error) {
	channel, err := parseID[discord.ChannelID]("body.channel", in.Body.Channel)
	if err != nil {
		return nil, err
	}
	message, err := parseID[discord.MessageID]("body.message", in.Body.Message)
	if err != nil {
		return nil, err
	}
	set := s.o.Access.Visible(asking(ctx).user)
	if _, _, err := readable(set, channel); err != nil {
		return nil, s.failed(ctx, "mark as unread", err)
	}
	res, err := s.o.Store.MarkUnread(ctx, set, channel, message)
	return s.marked(ctx, "mark as unread", res, err)
}

type undoInput struct {
	Body struct {
		Rev int64 `json:"rev" minimum:"1" doc:"What the mark answered"`
	}
}

func (s *Server) postUndo(ctx context.Context, in *undoInput) (*readOutput, error) {
	res, err := s.o.Store.Undo(ctx, s.o.Access.Visible(asking(ctx).user), in.Body.Rev)
	return s.marked(ctx, "undo", res, err)
}

// marked tells the person's other devices of a mark that is stored, and answers.
func (s *Server) marked(ctx context.Context, what string, res tidings.ReadResult, err error) (*readOutput, error) {
	if err != nil {
		return nil, s.failed(ctx, what, err)
	}
	if len(res.Channels) > 0 {
		// The mark is committed; whoever asked may be gone, the other devices are not.
		s.o.Live.Tell(context.WithoutCancel(ctx), tidings.Result{Reads: []tidings.ReadResult{res}})
	}
	out := &readOutput{ReadBody{Rev: res.Rev, Channels: make([]ReadChannelV, 0, len(res.Channels))}}
	for _, c := range res.Channels {
		out.Body.Channels = append(out.Body.Channels, ReadChannelV{c.ID, c.Unread, c.Mentions, c.ReadID, c.FirstUnread, c.Version})
	}
	return out, nil
}
