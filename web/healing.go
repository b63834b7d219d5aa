package web

import (
	"context"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// opened has what is missing in channels fetched first, now that somebody looks. What is shown is shown all the same.
func (s *Server) opened(ctx context.Context, channels []discord.ChannelID) {
	if s.o.Healing == nil || len(channels) == 0 {
		return
	}
	if err := s.o.Healing.Opened(ctx, channels); err != nil && ctx.Err() == nil {
		s.log.Warn("what is missing could not be asked for", "err", err)
	}
}

// GapView is a range of a channel in which messages may be missing.
type GapView struct {
	From     discord.MessageID `json:"from" doc:"Newer than this"`
	To       discord.MessageID `json:"to" doc:"Up to and including this"`
	Since    time.Time         `json:"since" doc:"When it was found"`
	Reason   string            `json:"reason"`
	Backfill bool              `json:"backfill" doc:"The past of a channel that is new here, not something that was missed"`
	Unclear  bool              `json:"unclear" doc:"Discord shows something there that cannot be read; it is tried again, later and later"`
}

// RecoveredView is a range of a channel in which messages were found late: perhaps below what the person has read.
type RecoveredView struct {
	From discord.MessageID `json:"from"`
	To   discord.MessageID `json:"to"`
	N    int               `json:"n"`
}

// ChannelDetail is a channel with what is known of its completeness.
type ChannelDetail struct {
	ChannelView
	CompleteSince *time.Time      `json:"complete_since" doc:"Since when nothing is known to be missing; null when unknown"`
	Gaps          []GapView       `json:"gaps" doc:"What is being fetched, newest first"`
	LeftS         int             `json:"left_seconds" doc:"About how long what was missed will take; 0 when that cannot be told"`
	Recovered     []RecoveredView `json:"recovered" doc:"Found late within the last seven days, the latest find first"`
}

// maxRecovered bounds how many finds are listed.
const maxRecovered = 50

func (s *Server) channelDetail(ctx context.Context, set *tidings.VisibleSet, id discord.ChannelID) (ChannelDetail, error) {
	g, c, err := readable(set, id)
	if err != nil {
		return ChannelDetail{}, err
	}
	d := ChannelDetail{ChannelView: channelView(c), Gaps: []GapView{}, Recovered: []RecoveredView{}}
	counts, err := s.o.Store.Summary(ctx, narrowed(set, g, c))
	if err != nil {
		return ChannelDetail{}, err
	}
	for _, ug := range counts.Guilds {
		for _, uc := range ug.Channels {
			d.CompleteSince = uc.CompleteSince
		}
	}
	if s.o.Healing == nil {
		return d, nil
	}
	gaps, err := s.o.Healing.ChannelGaps(ctx, id)
	if err != nil {
		return ChannelDetail{}, err
	}
	var typical time.Duration
	if len(gaps) > 0 {
		if typical, err = s.o.Healing.TypicalHealing(ctx); err != nil {
			return ChannelDetail{}, err
		}
	}
	for _, g := range gaps {
		d.Gaps = append(d.Gaps, GapView{g.From, g.Rest, g.Opened.UTC(), g.Reason, g.Backfill, g.Unclear})
		if !g.Backfill && !g.Unclear {
			d.LeftS = max(d.LeftS, int(g.Left(time.Now(), typical).Seconds()))
		}
	}
	found, err := s.o.Healing.Recovered(ctx, id, maxRecovered)
	if err != nil {
		return ChannelDetail{}, err
	}
	for _, f := range found {
		d.Recovered = append(d.Recovered, RecoveredView{f.From + 1, f.To, f.N})
	}
	return d, nil
}

// HealingStatus is how far what is missing has been fetched.
type HealingStatus struct {
	Gaps     int     `json:"gaps" doc:"Ranges in which messages may be missing"`
	Pasts    int     `json:"pasts" doc:"Channels whose past is still being fetched"`
	Messages int     `json:"messages" doc:"Found in open ranges so far"`
	Done     float64 `json:"done" doc:"The part of the wanted past that is fetched, 0 to 1"`
	LeftS    int     `json:"left_seconds" doc:"An estimate for the rest; 0 when there is none"`
}
