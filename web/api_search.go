package web

import (
	"context"

	"tidings/store"
)

type searchInput struct {
	Q      string `query:"q" required:"true" maxLength:"2000" doc:"Words, \"phrases\", -excluded, and the filters from: in: has: mentions: before: after:" example:"\"high tide\" in:harbour has:link after:2026-03-01"`
	Cursor string `query:"cursor" maxLength:"200"`
	Limit  int    `query:"limit" default:"25" minimum:"1" maximum:"100"`
}

func (s *Server) getSearch(ctx context.Context, in *searchInput) (*feedOutput, error) {
	q, err := store.ParseSearch(in.Q)
	if err != nil {
		return nil, s.failed(ctx, "search", err)
	}
	set := s.o.Access.Visible(asking(ctx).user)
	page, err := s.o.Store.Search(ctx, set, q, in.Cursor, in.Limit)
	if err != nil {
		return nil, s.failed(ctx, "search", err)
	}
	views, err := s.views(ctx, set, page.Messages)
	if err != nil {
		return nil, s.failed(ctx, "search", err)
	}
	return &feedOutput{FeedBody{Messages: views, Next: Cursor(page.Next)}}, nil
}
