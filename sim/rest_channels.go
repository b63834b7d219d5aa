package sim

import (
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"
)

func (c *call) getChannel() (any, error) {
	ch, _, err := c.inChannel()
	if err != nil {
		return nil, err
	}
	return c.wireChannel(ch, c.user.ID), nil
}

// getChannels lists all channels of the guild, also those that the caller cannot see, as Discord does for bots.
func (c *call) getChannels() (any, error) {
	g, err := c.inGuild()
	if err != nil {
		return nil, err
	}
	out := []wireChannel{}
	for _, ch := range c.guildChannels(g) {
		out = append(out, c.wireChannel(ch, c.user.ID))
	}
	return out, nil
}

type channelRequest struct {
	Name        opt[string]      `json:"name"`
	Type        opt[int]         `json:"type"`
	Topic       opt[string]      `json:"topic"`
	Position    opt[int]         `json:"position"`
	NSFW        opt[bool]        `json:"nsfw"`
	Slowmode    opt[int]         `json:"rate_limit_per_user"`
	ParentID    opt[ID]          `json:"parent_id"`
	Overwrites  opt[[]Overwrite] `json:"permission_overwrites"`
	Tags        opt[[]Tag]       `json:"available_tags"`
	Flags       opt[int]         `json:"flags"`
	Archived    opt[bool]        `json:"archived"`
	Locked      opt[bool]        `json:"locked"`
	Invitable   opt[bool]        `json:"invitable"`
	AutoArchive opt[int]         `json:"auto_archive_duration"`
	AppliedTags opt[[]ID]        `json:"applied_tags"`
}

func (c *call) checkChannel(g *Guild, in *channelRequest, creating bool) error {
	var f form
	if n := utf8.RuneCountInString(in.Name.V); (in.Name.Set || creating) && (n < 1 || n > 100) {
		if !in.Name.Set {
			f.add("name", "BASE_TYPE_REQUIRED", "This field is required")
		} else {
			f.add("name", "BASE_TYPE_BAD_LENGTH", "Must be between 1 and 100 in length.")
		}
	}
	if in.Slowmode.There() && (in.Slowmode.V < 0 || in.Slowmode.V > 21600) {
		f.add("rate_limit_per_user", "NUMBER_TYPE_MAX", "int value should be between 0 and 21600.")
	}
	if in.ParentID.There() {
		if p := c.channels[in.ParentID.V]; p == nil || p.GuildID != g.ID || p.Type != typeCategory {
			f.add("parent_id", "CHANNEL_PARENT_INVALID", "Category does not exist")
		}
	}
	return f.err()
}

func (c *call) postChannel() (any, error) {
	g, err := c.inGuild()
	if err != nil {
		return nil, err
	}
	if err := c.need(g, ManageChannels); err != nil {
		return nil, err
	}
	var in channelRequest
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	switch in.Type.Or(0) {
	case typeText, typeVoice, typeCategory, typeNews, typeStage, typeForum, typeMedia:
	default:
		return nil, badField("type", "BASE_TYPE_CHOICES", "Value must be one of (0, 2, 4, 5, 13, 15, 16).")
	}
	if err := c.checkChannel(g, &in, true); err != nil {
		return nil, err
	}
	if len(c.byGuild[g.ID]) >= 500+1000 {
		return nil, fail(http.StatusBadRequest, 30013, "Maximum number of guild channels reached (500)")
	}
	ch := &Channel{
		ID: c.newID(), GuildID: g.ID, Type: in.Type.Or(0), Name: in.Name.V, Topic: in.Topic.V, NSFW: in.NSFW.V, Slowmode: in.Slowmode.V,
		ParentID: in.ParentID.V, Overwrites: in.Overwrites.V, Position: in.Position.Or(len(c.guildChannels(g))),
	}
	if ch.Type == typeText || ch.Type == typeNews || ch.Type == typeForum {
		ch.Name = strings.ReplaceAll(strings.ToLower(ch.Name), " ", "-")
	}
	for _, t := range in.Tags.V {
		t.ID = c.newID()
		ch.Tags = append(ch.Tags, t)
	}
	c.addChannel(ch)
	c.emitChannel("CHANNEL_CREATE", ch)
	return created{c.wireChannel(ch, c.user.ID)}, nil
}

func (c *call) patchChannel() (any, error) {
	ch, p, err := c.inChannel()
	if err != nil {
		return nil, err
	}
	var in channelRequest
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if ch.thread() {
		return c.patchThread(ch, p, &in)
	}
	if p&ManageChannels == 0 {
		return nil, errPermissions()
	}
	if in.Overwrites.Set && p&ManageRoles == 0 {
		return nil, errPermissions()
	}
	g := c.guilds[ch.GuildID]
	if err := c.checkChannel(g, &in, false); err != nil {
		return nil, err
	}
	c.changing(g, func() {
		ch.Name = in.Name.Or(ch.Name)
		if in.Topic.Set {
			ch.Topic = in.Topic.V
		}
		if in.ParentID.Set {
			ch.ParentID = in.ParentID.V
		}
		if in.Overwrites.Set {
			ch.Overwrites = in.Overwrites.V
		}
		if in.Tags.Set {
			ch.Tags = nil
			for _, t := range in.Tags.V {
				if t.ID == 0 {
					t.ID = c.newID()
				}
				ch.Tags = append(ch.Tags, t)
			}
		}
		if t := in.Type.Or(ch.Type); t == typeText || t == typeNews {
			ch.Type = t
		}
		ch.Position, ch.NSFW, ch.Slowmode = in.Position.Or(ch.Position), in.NSFW.Or(ch.NSFW), in.Slowmode.Or(ch.Slowmode)
		c.emitChannel("CHANNEL_UPDATE", ch)
	})
	return c.wireChannel(ch, c.user.ID), nil
}

func (c *call) patchPositions() (any, error) {
	g, err := c.inGuild()
	if err != nil {
		return nil, err
	}
	if err := c.need(g, ManageChannels); err != nil {
		return nil, err
	}
	var in []struct {
		ID       ID       `json:"id"`
		Position opt[int] `json:"position"`
		ParentID opt[ID]  `json:"parent_id"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	for _, x := range in {
		ch := c.channels[x.ID]
		if ch == nil || ch.GuildID != g.ID {
			return nil, errUnknownChannel()
		}
		ch.Position = x.Position.Or(ch.Position)
		if x.ParentID.Set {
			ch.ParentID = x.ParentID.V
		}
		c.emitChannel("CHANNEL_UPDATE", ch)
	}
	return empty{}, nil
}

func (c *call) deleteChannel() (any, error) {
	ch, p, err := c.inChannel()
	if err != nil {
		return nil, err
	}
	need := ManageChannels
	if ch.thread() {
		need = ManageThreads
	}
	if p&need == 0 {
		return nil, errPermissions()
	}
	w := c.wireChannel(ch, c.user.ID)
	c.eraseChannel(ch)
	return w, nil
}

type threadDelete struct {
	ID       ID  `json:"id"`
	GuildID  ID  `json:"guild_id"`
	ParentID ID  `json:"parent_id"`
	Type     int `json:"type"`
}

// eraseChannel deletes a channel or thread. The threads of a channel go with it, without events of their own; the
// channels of a category stay and lose their parent.
func (s *Sim) eraseChannel(ch *Channel) {
	g := s.guilds[ch.GuildID]
	if ch.thread() {
		s.emit(g, "THREAD_DELETE", IntentGuilds, ch, same(threadDelete{ch.ID, ch.GuildID, ch.ParentID, ch.Type}))
		s.dropChannel(ch)
		return
	}
	s.dropChannel(ch)
	for _, x := range s.byGuild[g.ID] {
		if x.ParentID != ch.ID {
			continue
		}
		if x.thread() {
			s.dropChannel(x)
			continue
		}
		x.ParentID = 0
		s.emitChannel("CHANNEL_UPDATE", x)
	}
	for _, w := range ch.Webhooks {
		delete(s.webhooks, w.ID)
	}
	s.emitChannel("CHANNEL_DELETE", ch)
}

func (c *call) putOverwrite() (any, error) {
	ch, p, err := c.inChannel()
	if err != nil {
		return nil, err
	}
	if ch.thread() {
		return nil, errChannelType()
	}
	if p&ManageRoles == 0 {
		return nil, errPermissions()
	}
	var in struct {
		Type  opt[int]  `json:"type"`
		Allow opt[Perm] `json:"allow"`
		Deny  opt[Perm] `json:"deny"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	id := c.pathID("overwrite_id")
	g := c.guilds[ch.GuildID]
	kind := in.Type.V
	if !in.Type.Set && g.Roles[id] == nil {
		kind = 1
	}
	if kind == 0 && g.Roles[id] == nil {
		return nil, errUnknownRole()
	}
	if kind == 1 && c.users[id] == nil {
		return nil, errUnknownUser()
	}
	o := Overwrite{ID: id, Type: kind, Allow: in.Allow.V, Deny: in.Deny.V}
	c.changing(g, func() {
		list := slices.Clone(ch.Overwrites)
		if i := slices.IndexFunc(list, func(x Overwrite) bool { return x.ID == id }); i >= 0 {
			list[i] = o
		} else {
			list = append(list, o)
		}
		ch.Overwrites = list
		c.emitChannel("CHANNEL_UPDATE", ch)
	})
	return empty{}, nil
}

func (c *call) deleteOverwrite() (any, error) {
	ch, p, err := c.inChannel()
	if err != nil {
		return nil, err
	}
	if p&ManageRoles == 0 {
		return nil, errPermissions()
	}
	id := c.pathID("overwrite_id")
	if !slices.ContainsFunc(ch.Overwrites, func(x Overwrite) bool { return x.ID == id }) {
		return nil, fail(http.StatusNotFound, 10009, "Unknown permission overwrite")
	}
	c.changing(c.guilds[ch.GuildID], func() {
		ch.Overwrites = slices.DeleteFunc(slices.Clone(ch.Overwrites), func(x Overwrite) bool { return x.ID == id })
		c.emitChannel("CHANNEL_UPDATE", ch)
	})
	return empty{}, nil
}
