package client

import (
	"encoding/json"
	"fmt"

	"github.com/diamondburned/arikawa/v3/discord"
)

// Checker holds what a server says to the promises of docs/LIVE.md: the versions of a channel come in order, without holes other than
// by a reset and without repeats; nothing at or below the snapshot's version follows it; and no frame is of a channel that is neither in the
// snapshot nor was gained, or that was lost since. It is given every event of [Client.Next] or [Follow], also over resumptions.
// The zero Checker is ready. It is not safe for concurrent use.
type Checker struct {
	began    bool
	channels map[discord.ChannelID]*checked
}

type checked struct {
	version int64
	known   bool // version means something
	resumed bool // what came after the cursor may come once more
}

// Check returns an error that names the frame and the promise that it breaks.
func (c *Checker) Check(ev Event) error {
	var f struct {
		Op       string              `json:"op"`
		C        discord.ChannelID   `json:"c"`
		V        int64               `json:"v"`
		K        string              `json:"k"`
		Resumed  bool                `json:"resumed"`
		Unread   json.RawMessage     `json:"unread"`
		Gained   []discord.ChannelID `json:"gained"`
		Lost     []discord.ChannelID `json:"lost"`
		Channels []struct {
			C discord.ChannelID `json:"c"`
		} `json:"channels"`
	}
	if err := json.Unmarshal(ev.Frame, &f); err != nil {
		return fmt.Errorf("live frame: %w", err)
	}
	broken := func(format string, a ...any) error {
		return fmt.Errorf("%s: %.300s", fmt.Sprintf(format, a...), ev.Frame)
	}
	switch f.Op {
	case "hello":
		if !f.Resumed {
			c.began, c.channels = false, nil
			return nil
		}
		if !c.began {
			return broken("resumed, and there was no snapshot")
		}
		for _, ch := range c.channels {
			ch.resumed = true
		}
		return nil
	case "snapshot":
		return c.snapshot(f.Unread)
	case "access":
		for _, id := range f.Lost {
			delete(c.channels, id)
		}
		for _, id := range f.Gained {
			if c.began && c.channels[id] == nil {
				c.channels[id] = &checked{}
			}
		}
		return nil
	case "read":
		for _, r := range f.Channels {
			if c.channels[r.C] == nil {
				return broken("channel %d may not be seen", r.C)
			}
		}
		return nil
	case "delta", "message", "count", "recovered":
	default:
		return nil
	}
	ch := c.channels[f.C]
	switch {
	case !c.began:
		return broken("a frame before the snapshot")
	case ch == nil:
		return broken("channel %d may not be seen", f.C)
	case f.Op == "message" && ch.known && f.V > ch.version:
		return broken("a message before its delta, which is after version %d", ch.version)
	case f.Op != "delta":
		return nil
	case ch.known && f.V <= ch.version && !ch.resumed:
		return broken("version %d of channel %d after %d", f.V, f.C, ch.version)
	case ch.known && f.V > ch.version+1 && f.K != "reset":
		return broken("a hole in channel %d: version %d after %d", f.C, f.V, ch.version)
	}
	ch.version, ch.known, ch.resumed = f.V, true, false
	return nil
}

func (c *Checker) snapshot(raw json.RawMessage) error {
	var u struct {
		Guilds []struct {
			Channels []struct {
				ID      discord.ChannelID `json:"id"`
				Version int64             `json:"version"`
			} `json:"channels"`
		} `json:"guilds"`
	}
	if err := json.Unmarshal(raw, &u); err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	c.began, c.channels = true, map[discord.ChannelID]*checked{}
	for _, g := range u.Guilds {
		for _, ch := range g.Channels {
			c.channels[ch.ID] = &checked{version: ch.Version, known: true}
		}
	}
	return nil
}
