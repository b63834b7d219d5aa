package web

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/diamondburned/arikawa/v3/discord"

	"tidings/store"
)

// adminAPI registers what operators use, and what people ask about their own data.
func (s *Server) adminAPI(api huma.API) {
	register(api, http.MethodGet, "/api/me/data", "What is kept of you, in numbers", scopeAdmin, s.getMyData)
	register(api, http.MethodDelete, "/api/me/data", "Forget that you use this service", scopeAdmin, s.deleteMyData)
	register(api, http.MethodPut, "/api/me/optout", "Have what you write deleted, and kept back from now on", scopeAdmin, s.putOptOut)
	register(api, http.MethodDelete, "/api/me/optout", "Have what you write kept again", scopeAdmin, s.deleteOptOut)

	register(api, http.MethodGet, "/api/admin/jobs", "The queue of jobs", scopeAdmin, s.getJobs)
	register(api, http.MethodPost, "/api/admin/jobs", "Run a job of the timetable now", scopeAdmin, s.postJob)
	register(api, http.MethodPost, "/api/admin/jobs/{id}/retry", "Try a dead job again", scopeAdmin, s.postRetry)
	register(api, http.MethodDelete, "/api/admin/jobs/{id}", "Cancel a job", scopeAdmin, s.deleteJob)
	register(api, http.MethodPut, "/api/admin/pauses/{kind}", "Start no job of a kind any more", scopeAdmin, s.putPause)
	register(api, http.MethodDelete, "/api/admin/pauses/{kind}", "Start jobs of a kind again", scopeAdmin, s.deletePause)
	register(api, http.MethodGet, "/api/admin/servers", "The servers that you may look after", scopeAdmin, s.getServers)
	register(api, http.MethodGet, "/api/admin/servers/{guild}", "One of them, with its channels", scopeAdmin, s.getServer)
	register(api, http.MethodPut, "/api/admin/servers/{guild}", "Set whether and for how long a server's messages are kept", scopeAdmin, s.putServer)
	register(api, http.MethodPut, "/api/admin/servers/{guild}/channels/{channel}", "Set whether a channel's messages are kept", scopeAdmin, s.putServerChannel)
	register(api, http.MethodPost, "/api/admin/servers/{guild}/backfill", "Fetch the past of a server or channel from a date on", scopeAdmin, s.postBackfill)
	register(api, http.MethodPost, "/api/admin/servers/{guild}/purge", "Delete what is kept of a server's or channel's messages", scopeAdmin, s.postPurge)
	register(api, http.MethodPost, "/api/admin/authors/{author}/purge", "Delete what somebody wrote", scopeAdmin, s.postPurgeAuthor)
	register(api, http.MethodGet, "/api/admin/audit", "Who did what", scopeAdmin, s.getAudit)
	register(api, http.MethodGet, "/api/admin/people", "Who uses the service", scopeAdmin, s.getPeople)
	register(api, http.MethodDelete, "/api/admin/people/{user}/sessions", "End somebody's sessions and tokens, and feeds and webhooks that were made with them", scopeAdmin, s.deletePersonSessions)
}

// JobsBody is the queue of jobs.
type JobsBody struct {
	Kinds   []store.JobCount  `json:"kinds" doc:"How many jobs there are by kind and state"`
	Paused  []string          `json:"paused" doc:"Kinds of which no job is started"`
	Manual  []string          `json:"manual" doc:"Kinds that can be run now"`
	Running []store.ListedJob `json:"running"`
	Waiting []store.ListedJob `json:"waiting" doc:"In the order of their turns, at most 100"`
	Dead    []store.ListedJob `json:"dead" doc:"The latest first, at most 100"`
	Done    []store.ListedJob `json:"done" doc:"The latest first, at most 50"`
}

type jobsInput struct {
	Kind string `query:"kind" maxLength:"64" doc:"Only jobs of this kind"`
}

type jobsOutput struct{ Body JobsBody }

func (s *Server) getJobs(ctx context.Context, in *jobsInput) (*jobsOutput, error) {
	body, err := s.jobs(ctx, asking(ctx), in.Kind)
	if err != nil {
		return nil, s.failed(ctx, "list jobs", err)
	}
	return &jobsOutput{body}, nil
}

func (s *Server) jobs(ctx context.Context, p who, kind string) (b JobsBody, err error) {
	if err := s.mustOperate(p); err != nil {
		return b, err
	}
	st := s.o.Admin.Store
	b.Manual = s.o.Admin.Kinds
	if b.Kinds, err = st.JobCounts(ctx); err != nil {
		return b, err
	}
	if b.Paused, err = st.PausedKinds(ctx); err != nil {
		return b, err
	}
	for _, l := range []struct {
		state string
		limit int
		into  *[]store.ListedJob
	}{{"running", 200, &b.Running}, {"ready", 100, &b.Waiting}, {"dead", 100, &b.Dead}, {"done", 50, &b.Done}} {
		if *l.into, err = st.ListJobs(ctx, l.state, kind, l.limit); err != nil {
			return b, err
		}
	}
	return b, nil
}

type jobInput struct {
	Body struct {
		Kind string `json:"kind" maxLength:"64"`
	}
}

func (s *Server) postJob(ctx context.Context, in *jobInput) (*struct{}, error) {
	return s.did(ctx, "run a job", s.runJob(ctx, asking(ctx), in.Body.Kind))
}

// did is the answer of an operation that gives nothing back.
func (s *Server) did(ctx context.Context, what string, err error) (*struct{}, error) {
	if err != nil {
		return nil, s.failed(ctx, what, err)
	}
	return nil, nil
}

type jobIDInput struct {
	ID int64 `path:"id" minimum:"1"`
}

func (s *Server) postRetry(ctx context.Context, in *jobIDInput) (*struct{}, error) {
	return s.did(ctx, "retry a job", s.retryJob(ctx, asking(ctx), in.ID))
}

func (s *Server) deleteJob(ctx context.Context, in *jobIDInput) (*struct{}, error) {
	return s.did(ctx, "cancel a job", s.cancelJob(ctx, asking(ctx), in.ID))
}

type kindInput struct {
	Kind string `path:"kind" minLength:"1" maxLength:"64"`
}

func (s *Server) putPause(ctx context.Context, in *kindInput) (*struct{}, error) {
	return s.did(ctx, "pause jobs", s.pauseJobs(ctx, asking(ctx), in.Kind, true))
}

func (s *Server) deletePause(ctx context.Context, in *kindInput) (*struct{}, error) {
	return s.did(ctx, "resume jobs", s.pauseJobs(ctx, asking(ctx), in.Kind, false))
}

type serversOutput struct {
	Body struct {
		Servers []store.Server `json:"servers"`
	}
}

func (s *Server) getServers(ctx context.Context, _ *struct{}) (*serversOutput, error) {
	list, err := s.o.Admin.Store.Servers(ctx, s.managed(asking(ctx)))
	if err != nil {
		return nil, s.failed(ctx, "list servers", err)
	}
	out := &serversOutput{}
	out.Body.Servers = list
	return out, nil
}

type guildInput struct {
	Guild ID `path:"guild"`
}

func pathGuild(id ID) (discord.GuildID, error) { return parseID[discord.GuildID]("path.guild", id) }

// ServerBody is a server with its channels.
type ServerBody struct {
	store.Server
	Channels []store.ServerChannel `json:"channel_list" doc:"Those that Discord shows you; all for those whom ADMINS names. The numbers beside are of all"`
}

type serverOutput struct{ Body ServerBody }

func (s *Server) getServer(ctx context.Context, in *guildInput) (*serverOutput, error) {
	g, err := pathGuild(in.Guild)
	if err != nil {
		return nil, err
	}
	body, err := s.server(ctx, asking(ctx), g)
	if err != nil {
		return nil, s.failed(ctx, "read a server", err)
	}
	return &serverOutput{body}, nil
}

func (s *Server) server(ctx context.Context, p who, g discord.GuildID) (b ServerBody, err error) {
	if err := s.mustManage(ctx, p, g); err != nil {
		return b, err
	}
	list, err := s.o.Admin.Store.Servers(ctx, []discord.GuildID{g})
	if err != nil {
		return b, err
	}
	if len(list) == 0 {
		return b, problemf(http.StatusNotFound, "There is no such server here.")
	}
	b.Server = list[0]
	if b.Channels, err = s.o.Admin.Store.ServerChannels(ctx, g); err == nil {
		b.Channels, err = s.shown(ctx, p, g, b.Channels)
	}
	return b, err
}

type putServerInput struct {
	Guild ID `path:"guild"`
	Body  struct {
		Kept          bool `json:"kept" doc:"false: nothing more is stored"`
		RetentionDays int  `json:"retention_days,omitempty" minimum:"0" maximum:"36500" doc:"0: as everywhere. It can only shorten what is kept everywhere"`
	}
}

func (s *Server) putServer(ctx context.Context, in *putServerInput) (*struct{}, error) {
	g, err := pathGuild(in.Guild)
	if err != nil {
		return nil, err
	}
	return s.did(ctx, "set a server", s.setServer(ctx, asking(ctx), g, in.Body.Kept, in.Body.RetentionDays))
}

type putChannelInput struct {
	Guild   ID `path:"guild"`
	Channel ID `path:"channel"`
	Body    struct {
		Kept bool `json:"kept"`
	}
}

func (s *Server) putServerChannel(ctx context.Context, in *putChannelInput) (*struct{}, error) {
	g, err := pathGuild(in.Guild)
	if err != nil {
		return nil, err
	}
	c, err := parseID[discord.ChannelID]("path.channel", in.Channel)
	if err != nil {
		return nil, err
	}
	return s.did(ctx, "keep a channel", s.keepChannel(ctx, asking(ctx), g, c, in.Body.Kept))
}

type backfillInput struct {
	Guild ID `path:"guild"`
	Body  struct {
		Since   time.Time `json:"since" doc:"What is older than messages are kept is not fetched"`
		Channel ID        `json:"channel,omitempty"`
	}
}

type backfillOutput struct {
	Body struct {
		Channels int `json:"channels" doc:"In how many channels there is something to fetch"`
	}
}

func (s *Server) postBackfill(ctx context.Context, in *backfillInput) (*backfillOutput, error) {
	g, err := pathGuild(in.Guild)
	if err != nil {
		return nil, err
	}
	c, err := parseID[discord.ChannelID]("body.channel", in.Body.Channel)
	if err != nil {
		return nil, err
	}
	n, err := s.backfill(ctx, asking(ctx), g, c, in.Body.Since)
	if err != nil {
		return nil, s.failed(ctx, "backfill", err)
	}
	out := &backfillOutput{}
	out.Body.Channels = n
	return out, nil
}

type purgeInput struct {
	Guild ID `path:"guild"`
	Body  struct {
		Channel ID `json:"channel,omitempty" doc:"Only this channel and its threads"`
	}
}

func (s *Server) postPurge(ctx context.Context, in *purgeInput) (*struct{}, error) {
	g, err := pathGuild(in.Guild)
	if err != nil {
		return nil, err
	}
	c, err := parseID[discord.ChannelID]("body.channel", in.Body.Channel)
	if err != nil {
		return nil, err
	}
	return s.did(ctx, "purge", s.purge(ctx, asking(ctx), g, c))
}

type purgeAuthorInput struct {
	Author ID `path:"author"`
	Body   struct {
		OptOut bool `json:"opt_out,omitempty" doc:"Keep what they write from now on back, too"`
	}
}

func (s *Server) postPurgeAuthor(ctx context.Context, in *purgeAuthorInput) (*struct{}, error) {
	author, err := parseID[discord.UserID]("path.author", in.Author)
	if err != nil {
		return nil, err
	}
	return s.did(ctx, "purge an author", s.purgeAuthor(ctx, asking(ctx), author, in.Body.OptOut))
}

type auditInput struct {
	Guild  ID    `query:"guild" doc:"Only what concerns this server; needed by those who are not in ADMINS"`
	Before int64 `query:"before" minimum:"0" doc:"The id of the last line of the page before"`
	Limit  int   `query:"limit" minimum:"1" maximum:"200" default:"50"`
}

type auditOutput struct {
	Body struct {
		Entries []store.AuditEntry `json:"entries"`
	}
}

func (s *Server) getAudit(ctx context.Context, in *auditInput) (*auditOutput, error) {
	g, err := parseID[discord.GuildID]("query.guild", in.Guild)
	if err != nil {
		return nil, err
	}
	list, err := s.audit(ctx, asking(ctx), g, in.Before, in.Limit)
	if err != nil {
		return nil, s.failed(ctx, "read the audit log", err)
	}
	out := &auditOutput{}
	out.Body.Entries = list
	return out, nil
}

func (s *Server) audit(ctx context.Context, p who, g discord.GuildID, before int64, limit int) ([]store.AuditEntry, error) {
	may := s.mustOperate(p)
	if g != 0 {
		may = s.mustManage(ctx, p, g)
	}
	if may != nil {
		return nil, may
	}
	if s.operator(p) {
		return s.o.Admin.Store.AuditLog(ctx, g, before, limit)
	}
	out, shows := []store.AuditEntry{}, s.shows(p, g)
	for {
		list, err := s.o.Admin.Store.AuditLog(ctx, g, before, limit)
		if err != nil {
			return nil, err
		}
		for _, e := range list {
			if before = e.ID; len(out) < limit && isShown(e, shows) {
				out = append(out, e)
			}
		}
		if len(list) < limit || len(out) == limit {
			return out, nil
		}
	}
}

// isShown reports whether a line of the audit log is about no channel, or one that is shown.
func isShown(e store.AuditEntry, shows func(discord.ChannelID) bool) bool {
	var about struct {
		Channel ID `json:"channel"`
	}
	if json.Unmarshal(e.Detail, &about) != nil {
		return false
	}
	c, err := parseID[discord.ChannelID]("channel", about.Channel)
	return err == nil && (c == 0 || shows(c))
}

type peopleInput struct {
	After ID `query:"after" doc:"The id of the last one of the page before"`
}

type peopleOutput struct {
	Body struct {
		People []store.Person `json:"people" doc:"By id, at most 100"`
	}
}

func (s *Server) getPeople(ctx context.Context, in *peopleInput) (*peopleOutput, error) {
	after, err := parseID[discord.UserID]("query.after", in.After)
	if err != nil {
		return nil, err
	}
	list, err := s.people(ctx, asking(ctx), after)
	if err != nil {
		return nil, s.failed(ctx, "list people", err)
	}
	out := &peopleOutput{}
	out.Body.People = list
	return out, nil
}

func (s *Server) people(ctx context.Context, p who, after discord.UserID) ([]store.Person, error) {
	if err := s.mustOperate(p); err != nil {
		return nil, err
	}
	return s.o.Admin.Store.People(ctx, after, 100)
}

type personInput struct {
	User ID `path:"user"`
}

func (s *Server) deletePersonSessions(ctx context.Context, in *personInput) (*struct{}, error) {
	user, err := parseID[discord.UserID]("path.user", in.User)
	if err != nil {
		return nil, err
	}
	return s.did(ctx, "end sessions", s.endPerson(ctx, asking(ctx), user))
}
