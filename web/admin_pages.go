package web

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/store"
)

// adminPages registers the pages of operators. They work without scripts: what they change is a form's.
func (s *Server) adminPages(mux *http.ServeMux) {
	mux.HandleFunc("GET /status", s.person(s.pageStatus))
	mux.HandleFunc("GET /admin", s.person(s.pageServers))
	mux.HandleFunc("GET /admin/servers/{guild}", s.person(s.pageServer))
	mux.HandleFunc("GET /admin/jobs", s.person(s.pageJobs))
	mux.HandleFunc("GET /admin/people", s.person(s.pagePeople))
	mux.HandleFunc("GET /admin/audit", s.person(s.pageAudit))
	mux.HandleFunc("GET /admin/me", s.person(s.pageMyData))
	mux.HandleFunc("POST /admin/do", s.person(s.do))
}

// adminFrame is what all of these pages show around what they are about.
type adminFrame struct {
	Title    string
	At       string // the one of the pages at the top that it is, or belongs to
	Refresh  int    // seconds, 0 for never
	Operator bool
	Said     string // what was just done
}

func (s *Server) frame(p who, title string, refresh int) adminFrame {
	return adminFrame{Title: title, At: title, Refresh: refresh, Operator: s.operator(p)}
}

// sayings are what can stand in an address as done; anything else is not shown.
var sayings = map[string]string{
	"retry": "The job is tried again.", "cancel": "The job is cancelled.", "pause": "Jobs of this kind are paused.",
	"resume": "Jobs of this kind are started again.", "run": "The job runs as soon as a worker is free.", "server": "Saved.", "channel": "Saved.",
	"backfill": "What is missing of the past is being fetched.", "purge": "It is being deleted. The audit log will show a receipt.",
	"author": "It is being deleted. The audit log will show a receipt.", "end": "All sessions and tokens are ended, and what was given out with them.",
	"optout": "What you wrote is being deleted, and what you write is kept back from now on.", "optin": "What you write is kept again.",
}

func (f adminFrame) said(r *http.Request) adminFrame {
	f.Said = sayings[r.URL.Query().Get("done")]
	return f
}

type serversPage struct {
	adminFrame
	Servers   []store.Server
	Retention int
}

func (s *Server) pageServers(w http.ResponseWriter, r *http.Request, p who) {
	managed := s.managed(p)
	if managed != nil && len(managed) == 0 {
		s.fail(w, r, problemf(http.StatusForbidden, "You look after no server here. Those who may are named in the setting ADMINS, or own a server or may manage it on Discord."))
		return
	}
	list, err := s.o.Admin.Store.Servers(r.Context(), managed)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.show(w, r, http.StatusOK, "admin_servers.html", serversPage{s.frame(p, "Servers", 0).said(r), list, s.o.Admin.RetentionDays})
}

type serverPage struct {
	adminFrame
	ServerBody
	Retention int
	Today     string
	Audit     []store.AuditEntry
}

func (s *Server) pageServer(w http.ResponseWriter, r *http.Request, p who) {
	g, err := parseID[discord.GuildID]("guild", ID(r.PathValue("guild")))
	if err != nil {
		s.pageNotFound(w, r)
		return
	}
	b, err := s.server(r.Context(), p, g)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	log, err := s.audit(r.Context(), p, g, 0, 20)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	frame := s.frame(p, b.Name, 0).said(r)
	frame.At = "Servers"
	page := serverPage{frame, b, s.o.Admin.RetentionDays, time.Now().UTC().Format(time.DateOnly), log}
	s.show(w, r, http.StatusOK, "admin_server.html", page)
}

type jobsPage struct {
	adminFrame
	JobsBody
	Kind string
}

// KindRow is a kind of job with its numbers by state.
type KindRow struct {
	Kind                       string
	Ready, Running, Dead, Done int
	Oldest                     float64
	Paused, Manual             bool
}

// Rows gathers the numbers of each kind.
func (j jobsPage) Rows() []KindRow {
	var rows []KindRow
	at := map[string]int{}
	row := func(kind string) *KindRow {
		i, ok := at[kind]
		if !ok {
			i = len(rows)
			at[kind] = i
			rows = append(rows, KindRow{Kind: kind})
		}
		return &rows[i]
	}
	for _, c := range j.Kinds {
		k := row(c.Kind)
		k.Paused = c.Paused
		switch c.State {
		case "ready":
			k.Ready, k.Oldest = c.N, c.Oldest
		case "running":
			k.Running = c.N
		case "dead":
			k.Dead = c.N
		case "done":
			k.Done = c.N
		}
	}
	for _, kind := range j.Manual {
		row(kind).Manual = true
	}
	for _, kind := range j.Paused {
		row(kind).Paused = true
	}
	return rows
}

func (s *Server) pageJobs(w http.ResponseWriter, r *http.Request, p who) {
	kind := r.URL.Query().Get("kind")
	b, err := s.jobs(r.Context(), p, kind[:min(len(kind), maxKind)])
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.show(w, r, http.StatusOK, "admin_jobs.html", jobsPage{s.frame(p, "Jobs", 15).said(r), b, kind})
}

type peoplePage struct {
	adminFrame
	People []store.Person
	Next   discord.UserID
}

func (s *Server) pagePeople(w http.ResponseWriter, r *http.Request, p who) {
	after, err := parseID[discord.UserID]("after", ID(r.URL.Query().Get("after")))
	if err != nil {
		s.pageNotFound(w, r)
		return
	}
	list, err := s.people(r.Context(), p, after)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	page := peoplePage{adminFrame: s.frame(p, "People", 0).said(r), People: list}
	if len(list) == 100 {
		page.Next = list[99].ID
	}
	s.show(w, r, http.StatusOK, "admin_people.html", page)
}

type auditPage struct {
	adminFrame
	Entries []store.AuditEntry
	Next    int64
}

func (s *Server) pageAudit(w http.ResponseWriter, r *http.Request, p who) {
	before, _ := strconv.ParseInt(r.URL.Query().Get("before"), 10, 64)
	list, err := s.audit(r.Context(), p, 0, max(before, 0), 50)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	page := auditPage{adminFrame: s.frame(p, "Audit log", 0), Entries: list}
	if len(list) == 50 {
		page.Next = list[49].ID
	}
	s.show(w, r, http.StatusOK, "admin_audit.html", page)
}

type myDataPage struct {
	adminFrame
	store.Held
}

func (s *Server) pageMyData(w http.ResponseWriter, r *http.Request, p who) {
	if !p.may(scopeAdmin) {
		s.fail(w, r, scopeMissing(scopeAdmin))
		return
	}
	held, err := s.o.Admin.Store.Held(r.Context(), p.user)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.show(w, r, http.StatusOK, "admin_me.html", myDataPage{s.frame(p, "Your data", 0).said(r), held})
}

// do carries out what a form asks for, and goes back to its page. Another site's form is refused before it comes here.
func (s *Server) do(w http.ResponseWriter, r *http.Request, p who) {
	if err := r.ParseForm(); err != nil {
		s.fail(w, r, fmt.Errorf("%w form", tidings.ErrInvalid))
		return
	}
	what := r.PostForm.Get("do")
	if err := s.carryOut(r, p, what); err != nil {
		s.fail(w, r, err)
		return
	}
	if what == "forget" {
		s.loginFailed(w, r, http.StatusOK, "You are forgotten", "Everything that was kept because you use this service is deleted. What you write on Discord is another matter; you can sign in again to opt out of that.")
		return
	}
	back, err := url.Parse(localPath(r.PostForm.Get("back")))
	if err != nil || sayings[what] == "" {
		back = &url.URL{Path: "/admin"}
	}
	q := back.Query()
	q.Set("done", what)
	back.RawQuery = q.Encode()
	http.Redirect(w, r, back.String(), http.StatusSeeOther) // #nosec G710 -- localPath lets no other site through
}

func (s *Server) carryOut(r *http.Request, p who, what string) error {
	ctx, form := r.Context(), r.PostForm
	if !p.may(scopeAdmin) {
		return scopeMissing(scopeAdmin)
	}
	number := func(field string) (int64, error) {
		n, err := strconv.ParseInt(form.Get(field), 10, 64)
		if err != nil || n < 0 {
			return 0, fieldProblem(field, "expected a number", form.Get(field))
		}
		return n, nil
	}
	guild, gerr := parseID[discord.GuildID]("guild", ID(form.Get("guild")))
	channel, cerr := parseID[discord.ChannelID]("channel", ID(form.Get("channel")))
	person, perr := parseID[discord.UserID]("person", ID(form.Get("person")))
	if err := errors.Join(gerr, cerr, perr); err != nil {
		return fmt.Errorf("%w id in the form", tidings.ErrInvalid)
	}
	sure := func() error {
		if form.Get("sure") != "yes" {
			return problemf(http.StatusUnprocessableEntity, "Nothing was deleted: tick the box beside the button to say that you are sure.")
		}
		return nil
	}
	switch what {
	case "retry", "cancel":
		id, err := number("job")
		if err != nil {
			return err
		}
		if what == "retry" {
			return s.retryJob(ctx, p, id)
		}
		return s.cancelJob(ctx, p, id)
	case "pause", "resume":
		return s.pauseJobs(ctx, p, form.Get("kind"), what == "pause")
	case "run":
		return s.runJob(ctx, p, form.Get("kind"))
	case "server":
		n, err := number("retention")
		if err != nil {
			return err
		}
		return s.setServer(ctx, p, guild, form.Get("kept") == "yes", int(min(n, 1<<30)))
	case "channel":
		return s.keepChannel(ctx, p, guild, channel, form.Get("kept") == "yes")
	case "backfill":
		since, err := time.Parse(time.DateOnly, form.Get("since"))
		if err != nil {
			return fieldProblem("since", "expected a date as 2026-01-31", form.Get("since"))
		}
		_, err = s.backfill(ctx, p, guild, channel, since)
		return err
	case "purge":
		if err := sure(); err != nil {
			return err
		}
		return s.purge(ctx, p, guild, channel)
	case "author":
		if err := sure(); err != nil {
			return err
		}
		return s.purgeAuthor(ctx, p, person, form.Get("optout") == "yes")
	case "end":
		return s.endPerson(ctx, p, person)
	case "optout":
		if err := sure(); err != nil {
			return err
		}
		_, err := s.putOptOut(withAsking(ctx, p), nil)
		return err
	case "optin":
		_, err := s.deleteOptOut(withAsking(ctx, p), nil)
		return err
	case "forget":
		if err := sure(); err != nil {
			return err
		}
		_, err := s.forgetMe(ctx, p.user)
		return err
	}
	return fmt.Errorf("%w form: it asks for %q", tidings.ErrInvalid, what)
}

// jobList is a part of the jobs page.
type jobList struct {
	State string
	Jobs  []store.ListedJob
}

// List gives the jobs of a state.
func (j jobsPage) List(state string) jobList {
	switch state {
	case "running":
		return jobList{state, j.Running}
	case "ready":
		return jobList{state, j.Waiting}
	case "dead":
		return jobList{state, j.Dead}
	}
	return jobList{state, j.Done}
}
