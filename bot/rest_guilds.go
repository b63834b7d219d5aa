package bot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// maxPages bounds every loop over pages.
const maxPages = 200

// Guilds lists the guilds that the bot is in. Their owners are not said.
func (r *REST) Guilds(ctx context.Context) ([]tidings.Guild, error) {
	var guilds []tidings.Guild
	after := ""
	for range maxPages {
		var page []wireGuild
		q := url.Values{"limit": {"200"}}
		if after != "" {
			q.Set("after", after)
		}
		if err := r.get(ctx, &page, "users/@me/guilds", q); err != nil {
			return nil, fmt.Errorf("get the bot's guilds: %w", err)
		}
		for _, w := range page {
			guilds = append(guilds, w.guild())
		}
		if len(page) < 200 {
			break
		}
		next := page[len(page)-1].ID
		if after == strconv.FormatUint(uint64(next), 10) {
			break
		}
		after = strconv.FormatUint(uint64(next), 10)
	}
	return guilds, nil
}

// Guild fetches a guild and its roles.
func (r *REST) Guild(ctx context.Context, g discord.GuildID) (tidings.Guild, []tidings.Role, error) {
	var w wireGuild
	if err := r.get(ctx, &w, "guilds/"+g.String(), nil); err != nil {
		return tidings.Guild{}, nil, fmt.Errorf("get guild %d: %w", g, err)
	}
	if w.ID == 0 {
		return tidings.Guild{}, nil, fmt.Errorf("get guild %d: %w: the answer has no id", g, tidings.ErrUnavailable)
	}
	seen, err := w.seen()
	r.half(err)
	return seen.Guild, seen.Roles, nil
}

// Roles fetches a guild's roles.
func (r *REST) Roles(ctx context.Context, g discord.GuildID) ([]tidings.Role, error) {
	var page []json.RawMessage
	if err := r.get(ctx, &page, "guilds/"+g.String()+"/roles", nil); err != nil {
		return nil, fmt.Errorf("get roles of guild %d: %w", g, err)
	}
	var roles []tidings.Role
	for _, raw := range page {
		role, err := parseRole(raw, g)
		r.half(err)
		if role.ID != 0 {
			roles = append(roles, role)
		}
	}
	return roles, nil
}

// Channels fetches a guild's channels, without threads; those that the bot cannot view too.
func (r *REST) Channels(ctx context.Context, g discord.GuildID) ([]tidings.Channel, error) {
	var page []json.RawMessage
	if err := r.get(ctx, &page, "guilds/"+g.String()+"/channels", nil); err != nil {
		return nil, fmt.Errorf("get channels of guild %d: %w", g, err)
	}
	channels, _ := r.channels(page, g)
	return channels, nil
}

// Channel fetches a channel or a thread.
func (r *REST) Channel(ctx context.Context, c discord.ChannelID) (tidings.Channel, error) {
	var raw json.RawMessage
	if err := r.get(ctx, &raw, "channels/"+c.String(), nil); err != nil {
		return tidings.Channel{}, fmt.Errorf("get channel %d: %w", c, err)
	}
	channel, err := parseChannel(raw, 0)
	if err != nil && !errors.Is(err, errHalf) {
		return tidings.Channel{}, fmt.Errorf("get channel %d: %w", c, err)
	}
	r.half(err)
	return channel, nil
}

// ActiveThreads fetches a guild's threads that are not archived, those that the bot can view.
func (r *REST) ActiveThreads(ctx context.Context, g discord.GuildID) ([]tidings.Channel, error) {
	var w struct {
		Threads []json.RawMessage `json:"threads"`
	}
	if err := r.get(ctx, &w, "guilds/"+g.String()+"/threads/active", nil); err != nil {
		return nil, fmt.Errorf("get threads of guild %d: %w", g, err)
	}
	threads, _ := r.channels(w.Threads, g)
	return threads, nil
}

// Archived says which archived threads are meant.
type Archived string

// The archived threads of a channel. Private ones need MANAGE_THREADS; of those that the bot is a member of Joined knows.
const (
	ArchivedPublic  Archived = "threads/archived/public"
	ArchivedPrivate Archived = "threads/archived/private"
	ArchivedJoined  Archived = "users/@me/threads/archived/private"
)

// ArchivedThreads fetches a page of a channel's archived threads, the last archived first. next is where the next page
// begins, "" when there is none; the first page begins at "".
func (r *REST) ArchivedThreads(ctx context.Context, c discord.ChannelID, kind Archived, before string) (threads []tidings.Channel, next string, err error) {
	var w struct {
		Threads []json.RawMessage `json:"threads"`
		HasMore bool              `json:"has_more"`
	}
	q := url.Values{"limit": {"100"}}
	if before != "" {
		q.Set("before", before)
	}
	if err := r.get(ctx, &w, "channels/"+c.String()+"/"+string(kind), q); err != nil {
		return nil, "", fmt.Errorf("get archived threads of channel %d: %w", c, err)
	}
	threads, archived := r.channels(w.Threads, 0)
	if w.HasMore && len(threads) > 0 {
		// Joined threads are paged by id, the others by the time of archiving.
		if kind == ArchivedJoined {
			next = threads[len(threads)-1].ID.String()
		} else if !archived.IsZero() {
			next = archived.UTC().Format(time.RFC3339Nano)
		}
		if next == before {
			next = ""
		}
	}
	return threads, next, nil
}

// channels parses a list. It returns when the last one was archived, too.
func (r *REST) channels(page []json.RawMessage, g discord.GuildID) (out []tidings.Channel, archived time.Time) {
	for _, raw := range page {
		c, at, err := parseChannelAt(raw, g)
		r.half(err)
		if c.ID != 0 {
			out, archived = append(out, c), at
		}
	}
	return out, archived
}

// half logs that something was not or only half understood, once.
func (r *REST) half(err error) {
	if err != nil && r.strange.first("object") {
		r.log.Error("an object of Discord's could not be understood; it is taken as giving no access", "err", err)
	}
}

// Member fetches a membership; [tidings.ErrNotFound] when the person is not a member.
func (r *REST) Member(ctx context.Context, g discord.GuildID, u discord.UserID) (*tidings.Member, error) {
	var raw json.RawMessage
	if err := r.get(ctx, &raw, "guilds/"+g.String()+"/members/"+u.String(), nil); err != nil {
		return nil, fmt.Errorf("get member %d of guild %d: %w", u, g, err)
	}
	m, err := parseMember(raw, g, u)
	if err != nil {
		return nil, fmt.Errorf("get member %d of guild %d: %w", u, g, err)
	}
	if m.User != u {
		return nil, fmt.Errorf("get member %d of guild %d: %w: the answer is about %d", u, g, tidings.ErrUnavailable, m.User)
	}
	return &m, nil
}

// ThreadMembers lists who is in a thread. It needs the Server Members Intent.
func (r *REST) ThreadMembers(ctx context.Context, thread discord.ChannelID) ([]discord.UserID, error) {
	var users []discord.UserID
	after := ""
	for range maxPages {
		var page []struct {
			UserID id `json:"user_id"`
		}
		q := url.Values{"with_member": {"true"}, "limit": {"100"}}
		if after != "" {
			q.Set("after", after)
		}
		if err := r.get(ctx, &page, "channels/"+thread.String()+"/thread-members", q); err != nil {
			return nil, fmt.Errorf("get members of thread %d: %w", thread, err)
		}
		for _, m := range page {
			if m.UserID != 0 {
				users = append(users, discord.UserID(m.UserID))
			}
		}
		if len(page) < 100 {
			break
		}
		next := strconv.FormatUint(uint64(page[len(page)-1].UserID), 10)
		if next == after {
			break
		}
		after = next
	}
	return users, nil
}

// Discord's codes of a 404 for somebody who is not a member.
// Source: discord.com/developers/docs/topics/opcodes-and-status-codes#json-json-error-codes.
const (
	unknownMember = 10007
	unknownUser   = 10013
)

// InThread reports whether one person is in a thread. It needs no intent.
func (r *REST) InThread(ctx context.Context, thread discord.ChannelID, u discord.UserID) (bool, error) {
	var m struct {
		UserID id `json:"user_id"`
	}
	err := r.get(ctx, &m, "channels/"+thread.String()+"/thread-members/"+u.String(), nil)
	if code := Code(err); errors.Is(err, tidings.ErrNotFound) && (code == unknownMember || code == unknownUser) {
		return false, nil
	}
	if err == nil && discord.UserID(m.UserID) != u {
		err = fmt.Errorf("%w: the answer is about %d", tidings.ErrUnavailable, m.UserID)
	}
	if err != nil {
		return false, fmt.Errorf("get member %d of thread %d: %w", u, thread, err)
	}
	return true, nil
}

// GuildSeen fetches all that a GUILD_CREATE would say: for polling, where no gateway says it.
func (r *REST) GuildSeen(ctx context.Context, g discord.GuildID) (tidings.GuildSeen, error) {
	guild, roles, err := r.Guild(ctx, g)
	if err != nil {
		return tidings.GuildSeen{}, err
	}
	channels, err := r.Channels(ctx, g)
	if err != nil {
		return tidings.GuildSeen{}, err
	}
	threads, err := r.ActiveThreads(ctx, g)
	if err != nil {
		return tidings.GuildSeen{}, err
	}
	return tidings.GuildSeen{Guild: guild, Roles: roles, Channels: channels, Threads: threads}, nil
}
