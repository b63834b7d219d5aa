package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/store"
)

// Hydrator asks Discord whether what a webhook says is so. It is bot's REST.
type Hydrator interface {
	// Message fetches a message. Gone tells from its error whether the message is deleted; no other error is a sign of that.
	Message(ctx context.Context, c discord.ChannelID, m discord.MessageID) (tidings.Message, error)
	Channel(ctx context.Context, c discord.ChannelID) (tidings.Channel, error)
	Gone(err error) bool
}

// WebhookStore keeps deliveries, and what they are compared with. It is *store.Store.
type WebhookStore interface {
	Webhook(ctx context.Context, id int64) (store.WebhookDelivery, error)
	WebhookDone(ctx context.Context, id int64, outcome string) error
	MessageState(ctx context.Context, c discord.ChannelID, m discord.MessageID) (known, deleted bool, editedMS int64, err error)
	LastSeen(ctx context.Context, c discord.ChannelID) (discord.MessageID, error)
	OpenGap(ctx context.Context, channel discord.ChannelID, from, to discord.MessageID, reason string) error
	SaveLobby(ctx context.Context, lobby discord.Snowflake, c discord.ChannelID) error
	LobbyChannel(ctx context.Context, lobby discord.Snowflake) (discord.ChannelID, error)
}

// Webhooks processes what came to the webhook address. A webhook's word is a hint: it is compared with what is stored, and what
// would be news is fetched from Discord before it is believed. So a forged or late delivery costs a request and changes nothing.
type Webhooks struct {
	Discord Hydrator
	Store   WebhookStore
	Door    Door
	Log     *slog.Logger
	// Official names Discord's own source, and Relays what each relay may tell of; no guilds means all.
	Official string
	Relays   map[string][]discord.GuildID
	// Place finds the guild of a channel that is known.
	Place func(discord.ChannelID) (tidings.Channel, bool)
	// Deauthorized is called when a person has removed the application at a moment.
	Deauthorized func(ctx context.Context, u discord.UserID, at time.Time) error
	// HistoryDays and RetentionDays bound what is fetched: how far back of an unknown channel, and of any.
	HistoryDays, RetentionDays int
}

// Handle is the handler of [store.ProcessWebhook].
func (w *Webhooks) Handle(ctx context.Context, j store.Job) error {
	id, err := strconv.ParseInt(j.Key, 10, 64)
	if err != nil {
		return Dead(fmt.Errorf("%w job: its key %q is not a delivery", tidings.ErrInvalid, j.Key))
	}
	d, err := w.Store.Webhook(ctx, id)
	if errors.Is(err, tidings.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	official := d.Source == w.Official
	guilds, trusted := w.Relays[d.Source]
	if !official && !trusted {
		return w.Store.WebhookDone(ctx, id, "the source is not trusted any more")
	}
	said, err := tidings.ParseWebhook(d.Body, official)
	if err != nil {
		return Dead(err)
	}
	// An event that was handled before the job broke off is handled again, which changes nothing.
	news := 0
	for _, ev := range said.Events {
		fresh, err := w.event(ctx, d, ev, guilds)
		switch {
		case errors.Is(err, tidings.ErrInvalid), errors.Is(err, tidings.ErrForbidden):
			w.Log.Warn("an event of a webhook is left out", "source", d.Source, "event", ev.Type, "err", err)
		case err != nil:
			return err
		case fresh:
			news++
		}
	}
	return w.Store.WebhookDone(ctx, id, fmt.Sprintf("%d events, %d news", len(said.Events), news))
}

// webhookData names the fields that say what an event is about. Nothing else of it is used.
type webhookData struct {
	ID      discord.Snowflake   `json:"id"`
	IDs     []discord.Snowflake `json:"ids"`
	Channel discord.Snowflake   `json:"channel_id"`
	Lobby   discord.Snowflake   `json:"lobby_id"`
	Edited  *time.Time          `json:"edited_timestamp"`
	User    struct {
		ID discord.Snowflake `json:"id"`
	} `json:"user"`
}

func (w *Webhooks) event(ctx context.Context, d store.WebhookDelivery, ev tidings.WebhookEvent, guilds []discord.GuildID) (news bool, err error) {
	var about webhookData
	if err := json.Unmarshal(ev.Data, &about); err != nil {
		return false, fmt.Errorf("%w %s: %w", tidings.ErrInvalid, ev.Type, err)
	}
	if ev.Type == "APPLICATION_DEAUTHORIZED" {
		if !about.User.ID.IsValid() {
			return false, fmt.Errorf("%w %s: it names nobody", tidings.ErrInvalid, ev.Type)
		}
		at := ev.At
		if at.IsZero() {
			at = d.Received
		}
		return true, w.Deauthorized(ctx, discord.UserID(about.User.ID), at)
	}
	channel := discord.ChannelID(about.Channel)
	what, lobby := strings.CutPrefix(ev.Type, "LOBBY_")
	if lobby && about.Lobby.IsValid() {
		if about.Channel.IsValid() {
			err = w.Store.SaveLobby(ctx, about.Lobby, channel)
		} else {
			channel, err = w.Store.LobbyChannel(ctx, about.Lobby)
		}
		if err != nil {
			return false, err
		}
		if !discord.Snowflake(channel).IsValid() {
			return false, nil // A lobby without a linked channel has nothing that people read here.
		}
	}
	ids := about.IDs
	if what != "MESSAGE_DELETE_BULK" {
		ids = []discord.Snowflake{about.ID}
	}
	if !discord.Snowflake(channel).IsValid() || len(ids) == 0 || len(ids) > 100 || slices.ContainsFunc(ids, func(s discord.Snowflake) bool { return !s.IsValid() }) {
		return false, fmt.Errorf("%w %s: no channel or no message", tidings.ErrInvalid, ev.Type)
	}
	guild, err := w.guildOf(ctx, channel)
	if err != nil {
		return false, err
	}
	if guild == 0 {
		return false, nil // a direct message, or a channel that is gone
	}
	if len(guilds) > 0 && !slices.Contains(guilds, guild) {
		return false, fmt.Errorf("%w: the relay %s may not tell of guild %d", tidings.ErrForbidden, d.Source, guild)
	}
	for _, one := range ids {
		m := place{guild, channel, discord.MessageID(one)}
		var fresh bool
		switch what {
		case "MESSAGE_DELETE", "MESSAGE_DELETE_BULK":
			fresh, err = w.deleted(ctx, m)
		default:
			fresh, err = w.seen(ctx, m, about.Edited)
		}
		if err != nil {
			return false, err
		}
		news = news || fresh
	}
	return news, nil
}

// place is where a message is.
type place struct {
	guild   discord.GuildID
	channel discord.ChannelID
	message discord.MessageID
}

// guildOf finds a channel's guild by what is known or by Discord's word, never by the webhook's.
func (w *Webhooks) guildOf(ctx context.Context, c discord.ChannelID) (discord.GuildID, error) {
	if known, ok := w.Place(c); ok && known.Guild != 0 {
		return known.Guild, nil
	}
	asked, err := w.Discord.Channel(ctx, c)
	if errors.Is(err, tidings.ErrNotFound) {
		return 0, nil
	}
	return asked.Guild, err
}

// seen takes in a message that a webhook has shown, if it is news.
func (w *Webhooks) seen(ctx context.Context, m place, edited *time.Time) (news bool, err error) {
	now := time.Now()
	if m.message <= store.Horizon(w.RetentionDays, now) {
		return false, nil
	}
	known, deleted, editedMS, err := w.Store.MessageState(ctx, m.channel, m.message)
	if err != nil || deleted || known && (edited == nil || edited.UnixMilli() <= editedMS) {
		return false, err
	}
	message, err := w.Discord.Message(ctx, m.channel, m.message)
	if errors.Is(err, tidings.ErrNotFound) {
		return false, nil // deleted, or never there
	}
	if err != nil {
		return false, err
	}
	if message.Channel != m.channel || message.ID != m.message {
		return false, fmt.Errorf("%w: Discord answers with message %d of channel %d for %d of %d", tidings.ErrUnavailable, message.ID, message.Channel, m.message, m.channel)
	}
	if !known {
		// What is between the newest that is stored and this may be missing as well, and would look complete afterwards.
		seen, err := w.Store.LastSeen(ctx, m.channel)
		if err != nil {
			return false, err
		}
		if from := max(seen, store.Horizon(w.HistoryDays, now)); m.message > from {
			if err := w.Store.OpenGap(ctx, m.channel, from, m.message, "a webhook told of a message"); err != nil {
				return false, err
			}
		}
	}
	message.Guild = m.guild
	return true, w.commit(ctx, m, tidings.MessageCreated{Message: message})
}

// deleted buries a message that a webhook says is deleted, if Discord says so too.
func (w *Webhooks) deleted(ctx context.Context, m place) (news bool, err error) {
	known, deleted, _, err := w.Store.MessageState(ctx, m.channel, m.message)
	if err != nil || deleted || !known {
		return false, err
	}
	_, err = w.Discord.Message(ctx, m.channel, m.message)
	switch {
	case w.Discord.Gone(err):
	case err == nil, errors.Is(err, tidings.ErrNotFound):
		return false, nil // It is there, or its channel is gone, which says nothing about the message.
	default:
		return false, err
	}
	return true, w.commit(ctx, m, tidings.MessagesDeleted{IDs: []discord.MessageID{m.message}})
}

func (w *Webhooks) commit(ctx context.Context, m place, body tidings.Body) error {
	return w.Door.Commit(ctx, tidings.Event{Source: tidings.SourceWebhook, Guild: m.guild, Channel: m.channel, At: time.Now(), Body: body})
}
