package tidings

import (
	"encoding/json"

	"github.com/diamondburned/arikawa/v3/discord"
)

// looseMessage reads an object of which some field is not of the kind that Discord documents: whatever cannot be read counts as
// absent, so that one odd field does not hide a message from those who wait for it. The object itself, its id and its channel
// must be readable, and its author where it has one.
func looseMessage(payload []byte) (wireMessage, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(payload, &fields); err != nil {
		return wireMessage{}, err
	}
	var w wireMessage
	for _, f := range []struct {
		name string
		to   any
	}{{"id", &w.ID}, {"channel_id", &w.ChannelID}} {
		if err := json.Unmarshal(fields[f.name], f.to); len(fields[f.name]) > 0 && err != nil {
			return wireMessage{}, err
		}
	}
	if raw := fields["author"]; len(raw) > 0 && string(raw) != "null" {
		var author wireAuthor
		if err := json.Unmarshal(raw, &author); err != nil {
			return wireMessage{}, err
		}
		w.Author = &author
	}
	loosely(fields["guild_id"], &w.GuildID)
	loosely(fields["type"], &w.Type)
	loosely(fields["flags"], &w.Flags)
	loosely(fields["content"], &w.Content)
	loosely(fields["edited_timestamp"], &w.EditedTimestamp)
	loosely(fields["mention_everyone"], &w.MentionEveryone)
	var mentions, roles []json.RawMessage
	loosely(fields["mentions"], &mentions)
	for _, raw := range mentions {
		var one wireMention
		if loosely(raw, &one) {
			w.Mentions = append(w.Mentions, one)
		}
	}
	loosely(fields["mention_roles"], &roles)
	for _, raw := range roles {
		var one discord.RoleID
		if loosely(raw, &one) {
			w.MentionRoles = append(w.MentionRoles, one)
		}
	}
	w.wireFeatures = wireFeatures{
		Attachments: fields["attachments"], Embeds: fields["embeds"], Poll: fields["poll"],
		Stickers: fields["sticker_items"], Snapshots: fields["message_snapshots"],
	}
	return w, nil
}

// loosely decodes raw into to, which stays as it was when that does not work.
func loosely[T any](raw json.RawMessage, to *T) bool {
	var v T
	if len(raw) == 0 || json.Unmarshal(raw, &v) != nil {
		return false
	}
	*to = v
	return true
}
