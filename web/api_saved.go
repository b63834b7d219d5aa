package web

import (
	"context"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/store"
)

// SavedView is a message kept for later.
type SavedView struct {
	MessageView
	SavedAt time.Time `json:"saved_at"`
}

// SavedBody is a page of saved messages.
type SavedBody struct {
	Messages []SavedView `json:"messages" doc:"The last saved first. Deleted ones, and those of channels that you may not read now, are left out"`
	Next     Cursor      `json:"next"`
}

type savedInput struct {
	Cursor string `query:"cursor" maxLength:"200"`
	Limit  int    `query:"limit" default:"50" minimum:"1" maximum:"100"`
}

type savedOutput struct{ Body SavedBody }

func (s *Server) getSaved(ctx context.Context, in *savedInput) (*savedOutput, error) {
	set := s.o.Access.Visible(asking(ctx).user)
	page, err := s.o.Store.SavedMessages(ctx, set, in.Cursor, in.Limit)
	if err != nil {
		return nil, s.failed(ctx, "list saved messages", err)
	}
	messages := make([]tidings.Message, len(page.Saved))
	at := make(map[store.Quoted]time.Time, len(page.Saved))
	for i, m := range page.Saved {
		messages[i] = m.Message
		at[store.Quoted{Channel: m.Message.Channel, ID: m.Message.ID}] = m.At
	}
	views, err := s.views(ctx, set, messages)
	if err != nil {
		return nil, s.failed(ctx, "list saved messages", err)
	}
	out := &savedOutput{SavedBody{Messages: make([]SavedView, len(views)), Next: Cursor(page.Next)}}
	for i, v := range views {
		out.Body.Messages[i] = SavedView{v, at[store.Quoted{Channel: v.Channel, ID: v.ID}]}
	}
	return out, nil
}

type saveInput struct {
	Channel ID `path:"channel"`
	Message ID `path:"message"`
}

func (in *saveInput) ids() (channel discord.ChannelID, message discord.MessageID, err error) {
	if channel, err = parseID[discord.ChannelID]("path.channel", in.Channel); err != nil {
		return 0, 0, err
	}
	message, err = parseID[discord.MessageID]("path.message", in.Message)
	return channel, message, err
}

func (s *Server) putSaved(ctx context.Context, in *saveInput) (*struct{}, error) {
	channel, message, err := in.ids()
	if err != nil {
		return nil, err
	}
	if err := s.o.Store.Save(ctx, s.o.Access.Visible(asking(ctx).user), channel, message); err != nil {
		return nil, s.failed(ctx, "save a message", err)
	}
	return nil, nil
}

func (s *Server) deleteSaved(ctx context.Context, in *saveInput) (*struct{}, error) {
	channel, message, err := in.ids()
	if err != nil {
		return nil, err
	}
	if err := s.o.Store.Unsave(ctx, asking(ctx).user, channel, message); err != nil {
		return nil, s.failed(ctx, "take a saved message back", err)
	}
	return nil, nil
}
