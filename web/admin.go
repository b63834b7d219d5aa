package web

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/store"
)

// AdminStore is what operators see and change. It is *store.Store, whose methods say what each does.
type AdminStore interface {
	JobCounts(ctx context.Context) ([]store.JobCount, error)
	ListJobs(ctx context.Context, state, kind string, limit int) ([]store.ListedJob, error)
	PausedKinds(ctx context.Context) ([]string, error)
	ReviveJob(ctx context.Context, id int64) error
	CancelJob(ctx context.Context, id int64) error
	PauseJobs(ctx context.Context, kind string) error
	ResumeJobs(ctx context.Context, kind string) error
	Enqueue(ctx context.Context, jobs ...store.NewJob) (int, error)

	Servers(ctx context.Context, of []discord.GuildID) ([]store.Server, error)
	ServerChannels(ctx context.Context, g discord.GuildID) ([]store.ServerChannel, error)
	SetServer(ctx context.Context, g discord.GuildID, kept bool, retention int, by discord.UserID) error
	KeepChannel(ctx context.Context, g discord.GuildID, c discord.ChannelID, kept bool, by discord.UserID) error
	WantPast(ctx context.Context, g discord.GuildID, c discord.ChannelID, from time.Time) (int, error)

	AuditLog(ctx context.Context, g discord.GuildID, before int64, limit int) ([]store.AuditEntry, error)
	Note(ctx context.Context, by discord.UserID, what string, detail any) error
	People(ctx context.Context, after discord.UserID, limit int) ([]store.Person, error)
	RevokeTokens(ctx context.Context, user discord.UserID) error
	EndOutlets(ctx context.Context, user discord.UserID) error

	Held(ctx context.Context, user discord.UserID) (store.Held, error)
	ForgetPerson(ctx context.Context, user discord.UserID) (map[string]int64, tidings.Result, error)
	OptOut(ctx context.Context, author, by discord.UserID) error
	OptIn(ctx context.Context, author, by discord.UserID) error
	OAuthToken(ctx context.Context, user discord.UserID) ([]byte, error)
}

// Guilds knows the guilds, their roles and who of those who signed in is in them. It is *access.Access.
type Guilds interface {
	Guild(g discord.GuildID) (*tidings.GuildState, bool)
}

// AdminOptions switch on what operators use, and what people ask about their own data.
type AdminOptions struct {
	Store  AdminStore
	Guilds Guilds
	// Kinds are the kinds of job that may be run now, by hand.
	Kinds []string
	// Overview is all there is to see at /status.
	Overview func(ctx context.Context) Overview
	// RetentionDays is how long messages are kept where a server says nothing; 0 for ever.
	RetentionDays int
}

// operator reports whether a person may do everything here.
func (s *Server) operator(p who) bool {
	return p.user != 0 && p.may(scopeAdmin) && slices.Contains(s.o.Admins, p.user)
}

// manages reports whether a person may look after a server: operators may, and who owns it or may manage it on Discord now, which who is
// timed out may not. Unknown means denied.
func (s *Server) manages(p who, g discord.GuildID) bool {
	if s.operator(p) {
		return true
	}
	return p.user != 0 && p.may(scopeAdmin) && s.rights(p.user, g).Has(tidings.PermissionManageGuild)
}

// rights are what a person may do in a server as a whole now; none where they are not known to be a member.
func (s *Server) rights(u discord.UserID, g discord.GuildID) tidings.Permissions {
	state, ok := s.o.Admin.Guilds.Guild(g)
	if !ok {
		return 0
	}
	for i := range state.Members {
		if m := &state.Members[i]; m.User == u {
			return tidings.NewRules(state).Everywhere(m, time.Now())
		}
	}
	return 0
}

// managed lists the servers that a person may look after; nil stands for all.
func (s *Server) managed(p who) []discord.GuildID {
	if s.operator(p) {
		return nil
	}
	list := []discord.GuildID{}
	if p.may(scopeAdmin) {
		for _, g := range s.o.Access.Visible(p.user).Guilds {
			if s.manages(p, g.Guild.ID) {
				list = append(list, g.Guild.ID)
			}
		}
	}
	return list
}

// mustOperate is an error unless the person may do everything here.
func (s *Server) mustOperate(p who) error {
	if !s.operator(p) {
		return problemf(403, "This is for those whom the setting ADMINS names.")
	}
	return nil
}

// mustManage is an error unless the person may look after a server, by what is stored of their rights. To others there is no such server.
func (s *Server) mustManage(ctx context.Context, p who, g discord.GuildID) error {
	if s.operator(p) {
		return nil
	}
	if s.manages(p, g) {
		if _, err := s.o.Access.Confirm(ctx, p.user, g); err != nil {
			return err
		}
		if s.manages(p, g) {
			return nil
		}
	}
	return tidings.ErrNotFound
}

// shows tells of which channels a person who looks after their server may know: operators, its owner and administrators of each, those that are gone
// too, others of those that Discord shows them.
func (s *Server) shows(p who, g discord.GuildID) func(c discord.ChannelID) bool {
	all := s.operator(p) || s.rights(p.user, g) == tidings.PermissionsAll
	return func(c discord.ChannelID) bool {
		return all || s.o.Access.Permissions(p.user, c).Has(tidings.PermissionViewChannel)
	}
}

// shown are those channels of a server that a person may know of, by what is stored of their rights now that the channels are read.
func (s *Server) shown(ctx context.Context, p who, g discord.GuildID, channels []store.ServerChannel) ([]store.ServerChannel, error) {
	if s.operator(p) {
		return channels, nil
	}
	if _, err := s.o.Access.Confirm(ctx, p.user, g); err != nil {
		return nil, err
	}
	shows := s.shows(p, g)
	return slices.DeleteFunc(channels, func(c store.ServerChannel) bool { return !shows(c.ID) }), nil
}

// The rest of this file is what operators do, whoever asks for it: the API or a form.

func (s *Server) retryJob(ctx context.Context, p who, id int64) error {
	if err := s.mustOperate(p); err != nil {
		return err
	}
	if err := s.o.Admin.Store.ReviveJob(ctx, id); err != nil {
		return err
	}
	return s.o.Admin.Store.Note(ctx, p.user, "retry job", map[string]any{"job": id})
}

func (s *Server) cancelJob(ctx context.Context, p who, id int64) error {
	if err := s.mustOperate(p); err != nil {
		return err
	}
	if err := s.o.Admin.Store.CancelJob(ctx, id); err != nil {
		return err
	}
	return s.o.Admin.Store.Note(ctx, p.user, "cancel job", map[string]any{"job": id})
}

// maxKind bounds the name of a kind that is paused: one of another version's may be, so any is taken.
const maxKind = 64

func (s *Server) pauseJobs(ctx context.Context, p who, kind string, paused bool) error {
	if err := s.mustOperate(p); err != nil {
		return err
	}
	if kind == "" || len(kind) > maxKind {
		return fmt.Errorf("%w kind of job", tidings.ErrInvalid)
	}
	set, what := s.o.Admin.Store.ResumeJobs, "resume jobs"
	if paused {
		set, what = s.o.Admin.Store.PauseJobs, "pause jobs"
	}
	if err := set(ctx, kind); err != nil {
		return err
	}
	return s.o.Admin.Store.Note(ctx, p.user, what, map[string]any{"kind": kind})
}

func (s *Server) runJob(ctx context.Context, p who, kind string) error {
	if err := s.mustOperate(p); err != nil {
		return err
	}
	if !slices.Contains(s.o.Admin.Kinds, kind) {
		return fmt.Errorf("%w kind of job: %q cannot be run by hand", tidings.ErrInvalid, kind)
	}
	if _, err := s.o.Admin.Store.Enqueue(ctx, store.NewJob{Kind: kind, Key: "by hand", Priority: 100}); err != nil {
		return err
	}
	return s.o.Admin.Store.Note(ctx, p.user, "run job", map[string]any{"kind": kind})
}

func (s *Server) setServer(ctx context.Context, p who, g discord.GuildID, kept bool, days int) error {
	if err := s.mustManage(ctx, p, g); err != nil {
		return err
	}
	return s.o.Admin.Store.SetServer(ctx, g, kept, days, p.user)
}

func (s *Server) keepChannel(ctx context.Context, p who, g discord.GuildID, c discord.ChannelID, kept bool) error {
	if err := s.mustManage(ctx, p, g); err != nil {
		return err
	}
	if !s.shows(p, g)(c) {
		return tidings.ErrNotFound
	}
	return s.o.Admin.Store.KeepChannel(ctx, g, c, kept, p.user)
}

// inServer is an error unless a channel, where one is named, is of the server. To who is not shown it there is no such channel.
func (s *Server) inServer(ctx context.Context, p who, g discord.GuildID, c discord.ChannelID) error {
	if c == 0 {
		return nil
	}
	if !s.shows(p, g)(c) {
		return tidings.ErrNotFound
	}
	channels, err := s.o.Admin.Store.ServerChannels(ctx, g)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(channels, func(x store.ServerChannel) bool { return x.ID == c }) {
		return tidings.ErrNotFound
	}
	return nil
}

func (s *Server) backfill(ctx context.Context, p who, g discord.GuildID, c discord.ChannelID, since time.Time) (int, error) {
	if err := s.mustManage(ctx, p, g); err != nil {
		return 0, err
	}
	if err := s.inServer(ctx, p, g, c); err != nil {
		return 0, err
	}
	if since.After(time.Now()) {
		return 0, fmt.Errorf("%w date: it has not come yet", tidings.ErrInvalid)
	}
	if c != 0 { // which names its server already
		n, err := s.o.Admin.Store.WantPast(ctx, 0, c, since)
		if err != nil {
			return 0, err
		}
		return n, s.o.Admin.Store.Note(ctx, p.user, "backfill", map[string]any{"guild": g, "channel": c, "since": since.UTC()})
	}
	n, err := s.o.Admin.Store.WantPast(ctx, g, 0, since)
	if err != nil {
		return 0, err
	}
	return n, s.o.Admin.Store.Note(ctx, p.user, "backfill", map[string]any{"guild": g, "since": since.UTC()})
}

// purge asks for the job that deletes what is held of a server or of one of its channels.
func (s *Server) purge(ctx context.Context, p who, g discord.GuildID, c discord.ChannelID) error {
	if err := s.mustManage(ctx, p, g); err != nil {
		return err
	}
	if err := s.inServer(ctx, p, g, c); err != nil {
		return err
	}
	what := store.Purge{Guild: g, By: p.user, Before: time.Now()}
	if c != 0 {
		what.Guild, what.Channel = 0, c
	}
	return s.enqueuePurge(ctx, what)
}

// purgeAuthor asks for the job that deletes what somebody wrote, in all servers.
func (s *Server) purgeAuthor(ctx context.Context, p who, author discord.UserID, optOut bool) error {
	if err := s.mustOperate(p); err != nil {
		return err
	}
	if author == 0 {
		return fmt.Errorf("%w author", tidings.ErrInvalid)
	}
	if optOut {
		if err := s.o.Admin.Store.OptOut(ctx, author, p.user); err != nil {
			return err
		}
	}
	return s.enqueuePurge(ctx, store.Purge{Author: author, By: p.user, Before: time.Now()})
}

// purgePriority is high: who asks for something to be forgotten waits for it.
const purgePriority = 90

func (s *Server) enqueuePurge(ctx context.Context, what store.Purge) error {
	key := fmt.Sprintf("server %d channel %d author %d until %d", what.Guild, what.Channel, what.Author, what.Before.UnixMilli())
	_, err := s.o.Admin.Store.Enqueue(ctx, store.NewJob{Kind: store.PurgeMessages, Key: key, Priority: purgePriority, Payload: what})
	return err
}

// endPerson ends all sessions and tokens of somebody, and what was given out to be read in their name.
func (s *Server) endPerson(ctx context.Context, p who, user discord.UserID) error {
	if err := s.mustOperate(p); err != nil {
		return err
	}
	if err := s.endCredentials(ctx, user); err != nil {
		return err
	}
	return s.o.Admin.Store.Note(ctx, p.user, "end sessions", map[string]any{"person": user})
}

// endCredentials ends a person's sessions, tokens and live sockets, and then what these could have given out.
func (s *Server) endCredentials(ctx context.Context, user discord.UserID) error {
	sessions, err := s.o.Store.Sessions(ctx, user)
	if err != nil {
		return err
	}
	keys := make([]string, len(sessions))
	for i, x := range sessions {
		keys[i] = x.Key
	}
	tokens, err := s.o.Store.Tokens(ctx, user)
	if err != nil {
		return err
	}
	if err := s.o.Store.EndSessionsOf(ctx, user, keys); err != nil {
		return err
	}
	for _, key := range keys {
		s.o.Live.EndSession(kindCookie + key)
	}
	for _, t := range tokens {
		key, err := s.o.Store.RevokeToken(ctx, user, t.ID)
		if err != nil {
			return err
		}
		s.o.Live.EndSession(kindToken + key)
	}
	return s.o.Admin.Store.EndOutlets(ctx, user)
}
