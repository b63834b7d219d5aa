package web

import (
	"context"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

type unreadOutput struct{ Body *tidings.Unread }

func (s *Server) getUnread(ctx context.Context, _ *struct{}) (*unreadOutput, error) {
	u, err := s.unread(ctx, asking(ctx).user)
	if err != nil {
		return nil, s.failed(ctx, "count unread", err)
	}
	return &unreadOutput{u}, nil
}

// unread is a person's summary.
func (s *Server) unread(ctx context.Context, user discord.UserID) (u *tidings.Unread, err error) {
	err = s.steady(ctx, user, func(set *tidings.VisibleSet) error {
		u, err = s.unreadBy(ctx, set)
		return err
	})
	return u, err
}

// unreadBy is the summary of a set, with lists that are empty instead of null.
func (s *Server) unreadBy(ctx context.Context, set *tidings.VisibleSet) (*tidings.Unread, error) {
	u, err := s.o.Store.Summary(ctx, set)
	if err != nil {
		return nil, err
	}
	if u.Ignored == nil {
		u.Ignored = []discord.UserID{}
	}
	if u.Guilds == nil {
		u.Guilds = []tidings.UnreadGuild{}
	}
	for i := range u.Guilds {
		g := &u.Guilds[i]
		if g.Roles == nil {
			g.Roles = []discord.RoleID{}
		}
		if g.Channels == nil {
			g.Channels = []tidings.UnreadChannel{}
		}
	}
	return u, nil
}

// VerifyBody holds every count beside a recount.
type VerifyBody struct {
	Checked    int        `json:"checked" doc:"Channels"`
	Mismatches []Mismatch `json:"mismatches"`
}

// Mismatch is a channel whose stated counts differ from a recount.
type Mismatch struct {
	Channel   discord.ChannelID `json:"channel"`
	Stated    CountsV           `json:"stated"`
	Recounted CountsV           `json:"recounted"`
}

// CountsV are the two counts of a channel, and the version that they are of.
type CountsV struct {
	Unread   int   `json:"unread"`
	Mentions int   `json:"mentions"`
	Version  int64 `json:"version"`
}

type verifyOutput struct{ Body VerifyBody }

// getVerify compares what is stated with a recount of the same moment: messages and marks that come meanwhile make no difference.
func (s *Server) getVerify(ctx context.Context, _ *struct{}) (*verifyOutput, error) {
	var stated, recounted []tidings.ReadChannel
	err := s.steady(ctx, asking(ctx).user, func(set *tidings.VisibleSet) (err error) {
		stated, recounted, err = s.o.Store.Verify(ctx, set)
		return err
	})
	if err != nil {
		return nil, s.failed(ctx, "verify counts", err)
	}
	body := VerifyBody{Checked: len(stated), Mismatches: []Mismatch{}}
	for i, c := range stated {
		if r := recounted[i]; c != r {
			body.Mismatches = append(body.Mismatches, Mismatch{c.ID, CountsV{c.Unread, c.Mentions, c.Version}, CountsV{r.Unread, r.Mentions, r.Version}})
		}
	}
	return &verifyOutput{body}, nil
}
