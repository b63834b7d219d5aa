package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// op is a frame of the client.
type op struct {
	Op       string   `json:"op"`
	Channels []string `json:"channels"`
	All      bool     `json:"all"`
	Channel  string   `json:"channel"`
	UpTo     string   `json:"up_to"`
	Rev      *int64   `json:"rev"` // of a read that the person did not do by hand
	On       bool     `json:"on"`
}

// parseOp reads a client's frame. A wrong is what to answer when it is understood but cannot be done; an error means that
// it is not JSON.
func parseOp(line string) (o op, ids []discord.ChannelID, wrong string, err error) {
	if err := json.Unmarshal([]byte(line), &o); err != nil {
		var typ *json.UnmarshalTypeError
		if errors.As(err, &typ) {
			return o, nil, wrongType(typ.Field), nil
		}
		return o, nil, "", errors.New("a frame is not JSON")
	}
	switch o.Op {
	case "watch", "unwatch", "sync":
		switch {
		case len(o.Channels) > maxListed:
			return o, nil, fmt.Sprintf("at most %d channels in one frame", maxListed), nil
		case len(o.Channels) == 0 && (o.Op == "sync" || !o.All):
			return o, nil, `"channels" is missing`, nil
		}
		for _, s := range o.Channels {
			id, ok := parseID(s)
			if !ok {
				return o, nil, `"channels" must list ids`, nil
			}
			ids = append(ids, discord.ChannelID(id))
		}
		return o, ids, "", nil
	}
	if len(line) > maxShortFrame {
		return o, nil, "the frame is too long", nil
	}
	if o.Op == "read" {
		c, ok := parseID(o.Channel)
		_, ok2 := parseID(o.UpTo)
		if !ok || !ok2 {
			return o, nil, `"read" needs the ids "channel" and "up_to"`, nil
		}
		if o.Rev != nil && *o.Rev < 0 {
			return o, nil, `"rev" cannot be negative`, nil
		}
		ids = append(ids, discord.ChannelID(c))
	}
	return o, ids, "", nil
}

// wrongType says what a field, or the frame where field is empty, must be.
func wrongType(field string) string {
	want := map[string]string{
		"": "a frame must be an object", "rev": `"rev" must be a whole number`, "all": `"all" must be true or false`, "on": `"on" must be true or false`,
		"channels": `"channels" must be a list of ids, which are strings`, "channel": `"channel" must be an id, which is a string`,
		"up_to": `"up_to" must be an id, which is a string`,
	}
	if s, ok := want[field]; ok {
		return s
	}
	return strconv.Quote(field) + " must be a string"
}

// parseID reads a snowflake: a decimal string of a positive number that fits into 63 bits.
func parseID(s string) (uint64, bool) {
	id, err := strconv.ParseInt(s, 10, 64)
	return uint64(id), err == nil && id > 0
}

// act does what a client's frame asks and returns how much it weighs towards the rate. An error ends the connection.
func (c *conn) act(ctx context.Context, line string) (int, error) {
	o, ids, wrong, err := parseOp(line)
	if err != nil {
		return 1, err
	}
	weight := 1 + len(ids)/channelsPerOne
	if wrong != "" {
		c.tell(errorFrame("invalid", wrong))
		return weight, nil
	}
	switch o.Op {
	case "ping":
		c.hub.mu.Lock()
		c.tell(pongFrame(c.hub.cursorOf(c.user).String()))
		c.hub.mu.Unlock()
		c.still()
	case "here":
		c.setHere(o.On)
	case "watch":
		c.shard.do(func(*shard) { c.startWatching(ids, o.All) })
	case "unwatch":
		c.shard.do(func(*shard) { c.stopWatching(ids, o.All) })
	case "sync":
		c.sync(ids)
	case "read":
		c.markRead(ctx, o, ids[0])
	default:
		c.tell(errorFrame("unknown_op", "this server does not know the op"))
	}
	return weight, nil
}

func (c *conn) startWatching(ids []discord.ChannelID, all bool) {
	if c.state == connGone {
		return
	}
	c.watchAll = c.watchAll || all
	refused := false
	for _, id := range ids {
		switch {
		case !c.person.sees(id):
			refused = true
		case len(c.watch) >= maxWatched:
			c.hub.metrics.limits.WithLabelValues("subscriptions").Inc()
			c.add(errorFrame("too_many", fmt.Sprintf("at most %d watched channels; watch all instead", maxWatched)))
			return
		default:
			if c.watch == nil {
				c.watch = map[discord.ChannelID]struct{}{}
			}
			c.watch[id] = struct{}{}
		}
	}
	for _, d := range c.missed {
		if c.watches(d.channel) && c.person.sees(d.channel) {
			c.add(d.message)
		}
	}
	c.missed = nil
	if refused {
		c.add(notFoundFrame)
	}
	c.setWatching(c.watchAll || len(c.watch) > 0)
}

func (c *conn) stopWatching(ids []discord.ChannelID, all bool) {
	if all {
		c.watchAll, c.watch = false, nil
	}
	for _, id := range ids {
		delete(c.watch, id)
	}
	c.setWatching(c.watchAll || len(c.watch) > 0)
}

// notFoundFrame answers for channels that do not exist and for those that the person may not read: the two look alike on
// purpose.
var notFoundFrame = errorFrame("not_found", "no such channel, or you may not read it")

func (c *conn) sync(ids []discord.ChannelID) {
	h := c.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	refused := false
	for _, id := range ids {
		if c.user.sees(id) {
			h.want(c.user, id, c)
		} else {
			refused = true
		}
	}
	if refused {
		c.tell(notFoundFrame)
	}
}

// sees reports whether the person may read a channel. The caller holds Hub.mu.
func (u *user) sees(id discord.ChannelID) bool {
	for _, a := range u.audiences {
		if a.has(id) {
			return true
		}
	}
	return false
}

func (c *conn) markRead(ctx context.Context, o op, channel discord.ChannelID) {
	h := c.hub
	if !c.who.CanAck {
		c.tell(errorFrame("forbidden", "this token may not mark as read"))
		return
	}
	h.mu.Lock()
	set, sees := c.user.set, c.user.sees(channel)
	h.mu.Unlock()
	if !sees {
		c.tell(notFoundFrame)
		return
	}
	upTo, _ := parseID(o.UpTo)
	ctx, cancel := context.WithTimeout(ctx, h.timing.query)
	defer cancel()
	m := tidings.MarkRead{Channel: channel, UpTo: discord.MessageID(upTo)}
	if o.Rev != nil {
		m.Auto, m.Rev = true, *o.Rev
	}
	r, err := h.store.MarkRead(ctx, set, m)
	switch {
	case err == nil:
		h.TellRead(r)
	case errors.Is(err, tidings.ErrConflict):
		c.tell(errorFrame("conflict", "a newer mark of yours stands"))
	case errors.Is(err, tidings.ErrNotFound), errors.Is(err, tidings.ErrForbidden):
		c.tell(notFoundFrame)
	case errors.Is(err, tidings.ErrInvalid):
		c.tell(errorFrame("invalid", "this cannot be marked as read"))
	default:
		h.log.Warn("a channel cannot be marked as read", "user", c.who.User, "channel", channel, "err", err)
		c.tell(errorFrame("unavailable", "the mark was not stored; try again in a few seconds"))
	}
}
