package sim

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"time"
	"unicode/utf8"
)

type threadRequest struct {
	Name        string          `json:"name"`
	Type        opt[int]        `json:"type"`
	AutoArchive opt[int]        `json:"auto_archive_duration"`
	Invitable   opt[bool]       `json:"invitable"`
	Slowmode    opt[int]        `json:"rate_limit_per_user"`
	AppliedTags []ID            `json:"applied_tags"`
	Message     *messageRequest `json:"message"`
}

func (in *threadRequest) check() error {
	if n := utf8.RuneCountInString(in.Name); n < 1 || n > 100 {
		return badField("name", "BASE_TYPE_BAD_LENGTH", "Must be between 1 and 100 in length.")
	}
	return checkAutoArchive(in.AutoArchive)
}

func checkAutoArchive(o opt[int]) error {
	switch o.Or(1440) {
	case 60, 1440, 4320, 10080:
		return nil
	}
	return badField("auto_archive_duration", "BASE_TYPE_CHOICES", "Value must be one of (60, 1440, 4320, 10080).")
}

// newThread makes a thread that its owner has joined, and tells everybody.
func (s *Sim) newThread(parent *Channel, id ID, kind int, owner ID, in *threadRequest) *Channel {
	th := &Channel{
		ID: id, GuildID: parent.GuildID, ParentID: parent.ID, Type: kind, Name: in.Name, OwnerID: owner, Slowmode: in.Slowmode.V,
		AutoArchive: in.AutoArchive.Or(4320), ArchivedAt: Stamp{s.now()}, Invitable: in.Invitable.Or(true), AppliedTags: in.AppliedTags,
		ThreadMembers: map[ID]*ThreadMember{owner: {UserID: owner, JoinedAt: Stamp{s.now()}}},
	}
	s.addChannel(th)
	if parent.Type == typeForum || parent.Type == typeMedia {
		parent.LastMessageID = max(parent.LastMessageID, th.ID)
	}
	s.emit(s.guilds[th.GuildID], "THREAD_CREATE", IntentGuilds, th, func(v view) any {
		w := s.wireChannel(th, v.user)
		w.NewlyCreated = true
		return w
	})
	return th
}

// postThreadFromMessage makes a thread under a message. It has the message's id.
func (c *call) postThreadFromMessage() (any, error) {
	ch, m, p, err := c.theMessage()
	if err != nil {
		return nil, err
	}
	if ch.Type != typeText && ch.Type != typeNews {
		return nil, errChannelType()
	}
	if p&CreatePublicThreads == 0 {
		return nil, errPermissions()
	}
	var in threadRequest
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	if c.channels[m.ID] != nil {
		return nil, fail(http.StatusBadRequest, 160004, "A thread has already been created for this message")
	}
	kind := typePublicThread
	if ch.Type == typeNews {
		kind = typeNewsThread
	}
	th := c.newThread(ch, m.ID, kind, c.user.ID, &in)
	m.ThreadID, m.Flags = th.ID, m.Flags|flagHasThread
	c.emitMessage("MESSAGE_UPDATE", m)
	c.publish(th, &Message{AuthorID: m.AuthorID, Type: typeThreadStarter, Reference: &Reference{MessageID: m.ID, ChannelID: ch.ID, GuildID: ch.GuildID}})
	return created{c.wireChannel(th, c.user.ID)}, nil
}

// postThread makes a thread without a message, or a post of a forum with its first message.
func (c *call) postThread() (any, error) {
	ch, p, err := c.inChannel()
	if err != nil {
		return nil, err
	}
	var in threadRequest
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	switch ch.Type {
	case typeForum, typeMedia:
		return c.postForum(ch, p, &in)
	case typeText, typeNews:
	default:
		return nil, errChannelType()
	}
	kind := in.Type.Or(typePrivateThread)
	switch {
	case kind == typePrivateThread && ch.Type == typeText:
		if p&CreatePrivateThreads == 0 {
			return nil, errPermissions()
		}
	case kind == typePublicThread && ch.Type == typeText, kind == typeNewsThread && ch.Type == typeNews:
		if p&CreatePublicThreads == 0 {
			return nil, errPermissions()
		}
	default:
		return nil, badField("type", "BASE_TYPE_CHOICES", "This thread type does not fit the channel.")
	}
	th := c.newThread(ch, c.newID(), kind, c.user.ID, &in)
	if kind != typePrivateThread {
		c.publish(ch, &Message{AuthorID: c.user.ID, Type: typeThreadCreated, Content: th.Name, ThreadID: th.ID, Reference: &Reference{ChannelID: th.ID, GuildID: th.GuildID}})
	}
	return created{c.wireChannel(th, c.user.ID)}, nil
}

func (c *call) postForum(ch *Channel, p Perm, in *threadRequest) (any, error) {
	if p&SendMessages == 0 {
		return nil, errPermissions()
	}
	if in.Message == nil {
		return nil, badField("message", "BASE_TYPE_REQUIRED", "This field is required")
	}
	for _, id := range in.AppliedTags {
		if !slices.ContainsFunc(ch.Tags, func(t Tag) bool { return t.ID == id }) {
			return nil, fail(http.StatusBadRequest, 40066, "Unknown tag")
		}
	}
	id := c.newID()
	m := &Message{ID: id, AuthorID: c.user.ID}
	if err := c.compose(m, ch, p|SendMessages, in.Message); err != nil {
		return nil, err
	}
	th := c.newThread(ch, id, typePublicThread, c.user.ID, in)
	c.publish(th, m)
	w := c.wireChannel(th, c.user.ID)
	w.Message = ptr(c.wireMessage(m, c.user.ID, true))
	return created{w}, nil
}

// patchThread changes a thread: its name, whether it is archived or locked, its tags.
func (c *call) patchThread(th *Channel, p Perm, in *channelRequest) (any, error) {
	manages := p&ManageThreads != 0
	only := in.Archived.Set && !in.Name.Set && !in.Locked.Set && !in.Slowmode.Set && !in.AppliedTags.Set && !in.Flags.Set
	unarchives := only && !in.Archived.V && !th.Locked && p&SendMessagesInThreads != 0
	if !manages && !unarchives && (th.OwnerID != c.user.ID || in.Locked.Set || in.Slowmode.Set) {
		return nil, errPermissions()
	}
	if th.Archived && !(in.Archived.Set && !in.Archived.V) {
		return nil, errArchived()
	}
	if n := utf8.RuneCountInString(in.Name.V); in.Name.Set && (n < 1 || n > 100) {
		return nil, badField("name", "BASE_TYPE_BAD_LENGTH", "Must be between 1 and 100 in length.")
	}
	if err := checkAutoArchive(in.AutoArchive); err != nil {
		return nil, err
	}
	th.Name, th.Locked, th.Invitable = in.Name.Or(th.Name), in.Locked.Or(th.Locked), in.Invitable.Or(th.Invitable)
	th.AutoArchive, th.Slowmode, th.Flags = in.AutoArchive.Or(th.AutoArchive), in.Slowmode.Or(th.Slowmode), in.Flags.Or(th.Flags)
	if in.AppliedTags.Set {
		th.AppliedTags = in.AppliedTags.V
	}
	if in.Archived.Set && in.Archived.V != th.Archived {
		c.setArchived(th, in.Archived.V)
	} else {
		c.emitChannel("THREAD_UPDATE", th)
	}
	return c.wireChannel(th, c.user.ID), nil
}

// setArchived archives or opens a thread. Opening is told as THREAD_UPDATE and, to bots in it, THREAD_MEMBER_UPDATE.
func (s *Sim) setArchived(th *Channel, archived bool) {
	th.Archived, th.ArchivedAt = archived, Stamp{s.now()}
	s.emitChannel("THREAD_UPDATE", th)
	if !archived {
		s.emitOwnMembership(th)
	}
}

// emitOwnMembership sends THREAD_MEMBER_UPDATE to each bot about itself.
func (s *Sim) emitOwnMembership(th *Channel) {
	for _, x := range s.sessions {
		if tm := th.ThreadMembers[x.user.ID]; tm != nil && x.has(th.GuildID) && x.intents&IntentGuilds != 0 {
			w := wireThreadMember{ID: th.ID, UserID: tm.UserID, JoinedAt: tm.JoinedAt, GuildID: th.GuildID}
			s.deliverJSON(x, "THREAD_MEMBER_UPDATE", w, s.guilds[th.GuildID])
		}
	}
}

type threadMembersUpdate struct {
	ID      ID                 `json:"id"`
	GuildID ID                 `json:"guild_id"`
	Count   int                `json:"member_count"`
	Added   []wireThreadMember `json:"added_members,omitempty"`
	Removed []ID               `json:"removed_member_ids,omitempty"`
}

// joinThread puts a person into a thread and tells everybody. Being in it already changes nothing.
func (s *Sim) joinThread(th *Channel, user ID) {
	g := s.guilds[th.GuildID]
	if th.ThreadMembers[user] != nil || g.Members[user] == nil {
		return
	}
	if th.ThreadMembers == nil {
		th.ThreadMembers = map[ID]*ThreadMember{}
	}
	tm := &ThreadMember{UserID: user, JoinedAt: Stamp{s.now()}}
	th.ThreadMembers[user] = tm
	if s.users[user].Bot && th.Type == typePrivateThread {
		// A bot that gains a private thread is told with THREAD_CREATE.
		for _, x := range s.sessions {
			if x.user.ID == user && x.has(g.ID) && x.intents&IntentGuilds != 0 {
				s.deliverJSON(x, "THREAD_CREATE", s.wireChannel(th, user), g)
			}
		}
	}
	s.emitThreadMembers(th, user, threadMembersUpdate{ID: th.ID, GuildID: g.ID, Count: min(len(th.ThreadMembers), 50), Added: []wireThreadMember{
		{ID: th.ID, UserID: user, JoinedAt: tm.JoinedAt, Member: ptr(s.wireMember(g.Members[user], true)), Presence: json.RawMessage("null")}}})
}

// emitThreadMembers sends THREAD_MEMBERS_UPDATE: about other people only with GUILD_MEMBERS, about the bot always.
func (s *Sim) emitThreadMembers(th *Channel, about ID, e threadMembersUpdate) {
	g := s.guilds[th.GuildID]
	if u := s.users[about]; u != nil && u.Bot {
		s.emit(g, "THREAD_MEMBERS_UPDATE", IntentGuilds, nil, same(e))
		return
	}
	s.emit(g, "THREAD_MEMBERS_UPDATE", IntentMembers, th, same(e))
}

func (c *call) theThread() (*Channel, Perm, error) {
	th, p, err := c.inChannel()
	if err != nil {
		return nil, 0, err
	}
	if !th.thread() {
		return nil, 0, errChannelType()
	}
	return th, p, nil
}

func (c *call) putThreadMember() (any, error) {
	id := c.pathID("user_id")
	th, p, err := c.theThread()
	if err != nil {
		return nil, err
	}
	if th.Archived {
		return nil, errArchived()
	}
	if id != c.user.ID {
		if p&SendMessagesInThreads == 0 {
			return nil, errPermissions()
		}
		if th.Type == typePrivateThread && !th.Invitable && th.OwnerID != c.user.ID && p&ManageThreads == 0 {
			return nil, errPermissions()
		}
		if c.guilds[th.GuildID].Members[id] == nil {
			return nil, errUnknownMember()
		}
	}
	c.joinThread(th, id)
	return empty{}, nil
}

func (c *call) deleteThreadMember() (any, error) {
	id := c.pathID("user_id")
	th, p, err := c.theThread()
	if err != nil {
		return nil, err
	}
	if th.Archived {
		return nil, errArchived()
	}
	if id != c.user.ID && p&ManageThreads == 0 && !(th.Type == typePrivateThread && th.OwnerID == c.user.ID) {
		return nil, errPermissions()
	}
	if th.ThreadMembers[id] == nil {
		return nil, errUnknownMember()
	}
	e := threadMembersUpdate{ID: th.ID, GuildID: th.GuildID, Count: min(len(th.ThreadMembers)-1, 50), Removed: []ID{id}}
	// It is told before it takes effect: a bot that is removed from a private thread still hears of it.
	c.emitThreadMembers(th, id, e)
	delete(th.ThreadMembers, id)
	return empty{}, nil
}

func (c *call) getThreadMember() (any, error) {
	th, _, err := c.theThread()
	if err != nil {
		return nil, err
	}
	tm := th.ThreadMembers[c.pathID("user_id")]
	if tm == nil {
		return nil, errUnknownMember()
	}
	return c.threadMember(th, tm, c.r.URL.Query().Get("with_member") == "true"), nil
}

func (c *call) threadMember(th *Channel, tm *ThreadMember, full bool) wireThreadMember {
	w := wireThreadMember{ID: th.ID, UserID: tm.UserID, JoinedAt: tm.JoinedAt}
	if m := c.guilds[th.GuildID].Members[tm.UserID]; full && m != nil {
		w.Member = ptr(c.wireMember(m, true))
	}
	return w
}

// getThreadMembers lists who has joined. A bot needs the GUILD_MEMBERS intent granted.
func (c *call) getThreadMembers() (any, error) {
	th, _, err := c.theThread()
	if err != nil {
		return nil, err
	}
	if c.user.Bot && c.app.Refused&IntentMembers != 0 {
		return nil, errAccess()
	}
	limit, err := c.queryInt("limit", 100, 1, 100)
	if err != nil {
		return nil, err
	}
	after, _, err := c.queryID("after")
	if err != nil {
		return nil, err
	}
	full := c.r.URL.Query().Get("with_member") == "true"
	var ids []ID
	for id := range th.ThreadMembers {
		if id > after {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	if full && len(ids) > limit {
		ids = ids[:limit]
	}
	out := []wireThreadMember{}
	for _, id := range ids {
		out = append(out, c.threadMember(th, th.ThreadMembers[id], full))
	}
	return out, nil
}

type threadList struct {
	Threads []wireChannel      `json:"threads"`
	Members []wireThreadMember `json:"members"`
	HasMore bool               `json:"has_more"`
}

func (c *call) listThreads(list []*Channel) threadList {
	out := threadList{Threads: []wireChannel{}, Members: []wireThreadMember{}}
	for _, th := range list {
		w := c.wireChannel(th, c.user.ID)
		out.Threads = append(out.Threads, w)
		if w.Member != nil {
			out.Members = append(out.Members, *w.Member)
		}
	}
	return out
}

func (c *call) getActiveThreads() (any, error) {
	g, err := c.inGuild()
	if err != nil {
		return nil, err
	}
	return c.listThreads(c.activeThreads(g, c.user.ID, 0)), nil
}

func (c *call) getArchivedPublic() (any, error) {
	return c.archived(0, func(th *Channel) bool { return th.Type != typePrivateThread }, false)
}

func (c *call) getArchivedPrivate() (any, error) {
	return c.archived(ManageThreads, func(th *Channel) bool { return th.Type == typePrivateThread }, false)
}

// getMyArchived lists the private archived threads that the caller has joined; its cursor is a thread's id.
func (c *call) getMyArchived() (any, error) {
	return c.archived(0, func(th *Channel) bool { return th.Type == typePrivateThread && th.ThreadMembers[c.user.ID] != nil }, true)
}

func (c *call) archived(need Perm, want func(*Channel) bool, byID bool) (any, error) {
	ch, p, err := c.inChannel()
	if err != nil {
		return nil, err
	}
	if p&ReadMessageHistory == 0 {
		return nil, errAccess()
	}
	if p&need != need {
		return nil, errAccess()
	}
	limit, err := c.queryInt("limit", 50, 2, 100)
	if err != nil {
		return nil, err
	}
	var before time.Time
	var beforeID ID
	if v := c.r.URL.Query().Get("before"); v != "" && !byID {
		if before, err = time.Parse(time.RFC3339Nano, v); err != nil {
			return nil, badField("before", "DATE_TIME_TYPE_PARSE", "Could not parse. Should be ISO8601.")
		}
	} else if byID {
		if beforeID, _, err = c.queryID("before"); err != nil {
			return nil, err
		}
	}
	var list []*Channel
	for _, th := range c.byGuild[ch.GuildID] {
		if th.thread() && th.ParentID == ch.ID && th.Archived && want(th) &&
			(before.IsZero() || th.ArchivedAt.Before(before)) && (beforeID == 0 || th.ID < beforeID) {
			list = append(list, th)
		}
	}
	slices.SortFunc(list, func(a, b *Channel) int {
		if d := b.ArchivedAt.Compare(a.ArchivedAt.Time); d != 0 && !byID {
			return d
		}
		return cmp.Compare(b.ID, a.ID)
	})
	out := c.listThreads(list[:min(limit, len(list))])
	out.HasMore = len(list) > limit
	return out, nil
}

// expireThreadsAndPolls archives threads that were quiet too long and ends polls whose time is over.
func (s *Sim) expireThreadsAndPolls() {
	now := s.now()
	for _, ch := range s.channels {
		if ch.thread() && !ch.Archived {
			quiet := max(ch.LastMessageID, ch.ID).Time()
			if ch.ArchivedAt.After(quiet) {
				quiet = ch.ArchivedAt.Time
			}
			if now.Sub(quiet) > time.Duration(ch.AutoArchive)*time.Minute {
				s.setArchived(ch, true)
			}
		}
		for _, m := range ch.Messages[max(0, len(ch.Messages)-200):] {
			if m.Poll != nil && !m.Poll.Finalized && !m.Deleted && now.After(m.Poll.Expiry.Time) {
				s.closePoll(ch, m)
			}
		}
	}
}
