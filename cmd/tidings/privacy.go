package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/hub"
	"tidings/store"
)

// scope names one server, one channel or one person.
type scope struct {
	Guild   string `placeholder:"ID" help:"A server."`
	Channel string `placeholder:"ID" help:"A channel and its threads."`
}

// ids reads what was named, and the faults in it. flags are those that the command has.
func (s scope) ids(flags, user string) (guild discord.GuildID, channel discord.ChannelID, author discord.UserID, faults []string) {
	given := 0
	for _, text := range []string{s.Guild, s.Channel, user} {
		if text != "" {
			given++
		}
	}
	if given != 1 {
		faults = append(faults, "say what is meant with exactly one of "+flags+".")
	}
	guild = discord.GuildID(idOf("guild", s.Guild, &faults))
	channel = discord.ChannelID(idOf("channel", s.Channel, &faults))
	author = discord.UserID(idOf("user", user, &faults))
	return guild, channel, author, faults
}

// idOf reads the id that a flag names, 0 for none, and adds what is wrong with it to faults.
func idOf(flag, text string, faults *[]string) discord.Snowflake {
	if text == "" {
		return 0
	}
	id, err := discord.ParseSnowflake(text)
	if err != nil || !id.IsValid() {
		*faults = append(*faults, fmt.Sprintf("--%s %q is not a Discord id.", flag, text))
	}
	return id
}

// purgeCmd is "tidings purge".
type purgeCmd struct {
	scope
	User   string `placeholder:"ID" help:"What a person wrote, in all servers."`
	OptOut bool   `help:"With --user: keep what they write from now on back, too. Undo it with --opt-in."`
	OptIn  bool   `help:"With --user: delete nothing, and keep what they write from now on again."`
}

func (p purgeCmd) Run(ctx context.Context, c *Config, log *slog.Logger, out *output) error {
	guild, channel, author, faults := p.ids("--guild, --channel and --user", p.User)
	if (p.OptOut || p.OptIn) && p.User == "" {
		faults = append(faults, "--opt-out and --opt-in need --user.")
	}
	if p.OptOut && p.OptIn {
		faults = append(faults, "--opt-out and --opt-in say the opposite.")
	}
	if len(faults) > 0 {
		return usageError{faults}
	}
	return withBackends(ctx, c, log, func(st *store.Store, servers *backends) error {
		switch {
		case p.OptIn:
			if err := st.OptIn(ctx, author, 0); err != nil {
				return err
			}
			fmt.Fprintf(out.Out, "what %s writes is kept from now on\n", p.User)
			return nil
		case p.OptOut:
			if err := st.OptOut(ctx, author, 0); err != nil {
				return err
			}
		}
		// A running service hears of it by the versions that move; what its processes have left for each other goes here.
		moved := map[discord.GuildID]bool{}
		r, err := st.Purge(ctx, store.Purge{Guild: guild, Channel: channel, Author: author}, func(_ context.Context, r tidings.Result) {
			for _, d := range r.Deltas {
				moved[d.Guild] = true
			}
		})
		for g := range moved {
			if err := hub.DropLog(ctx, servers.redis, c.RedisPrefix, g); err != nil {
				log.Warn("what Redis holds of the last five minutes stays for as long", "err", err)
			}
		}
		if errors.Is(err, tidings.ErrNotFound) {
			return errors.New("nothing is held of it")
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(out.Out, "deleted %d messages in %d channels; the receipt is in the audit log\n", r.Messages, r.Channels)
		return nil
	})
}

// exportCmd is "tidings export".
type exportCmd struct {
	scope
	Format string `default:"ndjson" enum:"ndjson,json" help:"ndjson: a message a line. json: one document with the channels, too."`
	Output string `short:"o" placeholder:"FILE" type:"path" help:"Where to write; the standard output when empty."`
}

// exported is a message as exports show it. Discord's own object is in it whole.
type exported struct {
	ID       discord.MessageID `json:"id"`
	Guild    discord.GuildID   `json:"guild"`
	Channel  discord.ChannelID `json:"channel"`
	Author   discord.UserID    `json:"author"`
	Content  string            `json:"content"`
	At       time.Time         `json:"timestamp"`
	EditedAt *time.Time        `json:"edited_timestamp"`
	Message  json.RawMessage   `json:"message"` // null where it is not kept
}

type exportedChannel struct {
	ID     discord.ChannelID `json:"id"`
	Guild  discord.GuildID   `json:"guild"`
	Parent discord.ChannelID `json:"parent"`
	Type   int               `json:"type"`
	Name   string            `json:"name"`
	Topic  string            `json:"topic"`
}

func (e exportCmd) Run(ctx context.Context, c *Config, log *slog.Logger, out *output) error {
	guild, channel, _, faults := e.ids("--guild and --channel", "")
	if len(faults) > 0 {
		return usageError{faults}
	}
	return withStore(ctx, c, log, func(st *store.Store) (err error) {
		channels, err := st.ExportChannels(ctx, guild, channel)
		if errors.Is(err, tidings.ErrNotFound) {
			return errors.New("nothing is held of it")
		}
		if err != nil {
			return err
		}
		to := out.Out
		if e.Output != "" {
			f, err := os.OpenFile(e.Output, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
			if err != nil {
				return err
			}
			defer func() {
				if cerr := f.Close(); err == nil {
					err = cerr
				}
			}()
			to = f
		}
		n, err := writeExport(ctx, st, channels, e.Format, to)
		if err != nil {
			return err
		}
		if err := st.Note(ctx, 0, "export", map[string]any{"guild": guild, "channel": channel, "messages": n}); err != nil {
			return err
		}
		if e.Output != "" {
			fmt.Fprintf(out.Out, "exported %d messages of %d channels\n", n, len(channels))
		}
		return nil
	})
}

func writeExport(ctx context.Context, st *store.Store, channels []tidings.Channel, format string, to io.Writer) (messages int, err error) {
	w := bufio.NewWriterSize(to, 64<<10)
	enc := json.NewEncoder(w) // which ends each value with a new line
	enc.SetEscapeHTML(false)
	if format == "json" {
		list := make([]exportedChannel, len(channels))
		for i, c := range channels {
			list[i] = exportedChannel{c.ID, c.Guild, c.Parent, int(c.Type), c.Name, c.Topic}
		}
		fmt.Fprintf(w, "{\"exported_at\":%q,\n\"channels\":", time.Now().UTC().Format(time.RFC3339))
		if err := enc.Encode(list); err != nil {
			return 0, err
		}
		fmt.Fprint(w, ",\"messages\":[\n")
	}
	for _, c := range channels {
		err := st.Export(ctx, c, func(m tidings.Message) error {
			if format == "json" && messages > 0 {
				w.WriteByte(',')
			}
			messages++
			x := exported{ID: m.ID, Guild: m.Guild, Channel: m.Channel, Author: m.Author, Content: m.Content, At: m.ID.Time().UTC(), Message: m.Payload}
			if m.EditedMS > 0 {
				at := time.UnixMilli(m.EditedMS).UTC()
				x.EditedAt = &at
			}
			return enc.Encode(x)
		})
		if err != nil {
			return messages, err
		}
	}
	if format == "json" {
		fmt.Fprint(w, "]}\n")
	}
	return messages, w.Flush()
}
