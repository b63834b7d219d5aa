package store

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// Nothing that comes from outside keeps an event from being kept and from being made good: by a gap, by reading the channel's recent
// messages again, or by reading the server.
func TestNoInputKeepsADeadLetterFromBeingKept(t *testing.T) {
	t.Parallel()
	const beyond = discord.MessageID(math.MaxInt64 + 5) // Postgres' bigint has no such number
	said := func(m tidings.Message) tidings.Body {
		m.Guild, m.Channel = testGuild, lobby
		return tidings.MessageCreated{Message: m}
	}
	cases := map[string]struct {
		channel discord.ChannelID
		body    tidings.Body
		cause   string
		gaps    string
		again   string // the channel that is read again
		doubt   bool
	}{
		"a cause with a NUL":                    {lobby, said(tidings.Message{ID: nth(3)}), "no \x00 good", "3-3", "", false},
		"a cause that is no UTF-8":              {lobby, said(tidings.Message{ID: nth(3)}), "no \xff\xc3 good", "3-3", "", false},
		"a long cause":                          {lobby, said(tidings.Message{ID: nth(3)}), strings.Repeat("no \x00", 1<<20), "3-3", "", false},
		"a payload with NULs that is no UTF-8":  {lobby, said(tidings.Message{ID: nth(3), Payload: []byte("{\x00\xff\"\\u0000")}), "odd", "3-3", "", false},
		"a payload of 32 MB":                    {lobby, said(tidings.Message{ID: nth(3), Payload: bytes.Repeat([]byte("\x00x"), 16<<20)}), "odd", "3-3", "", false},
		"content that is no UTF-8":              {lobby, said(tidings.Message{ID: nth(3), Content: "\x00\xff"}), "odd", "3-3", "", false},
		"a name with a NUL":                     {lobby, tidings.Unreadable{Name: "MESSAGE_\x00", Raw: []byte("\x00")}, "odd", "", lobby.String(), false},
		"a name that is no UTF-8":               {0, tidings.Unreadable{Name: "GUILD_\xff"}, "odd", "", "", true},
		"a message without an id":               {lobby, said(tidings.Message{}), "odd", "", lobby.String(), false},
		"an id beyond a bigint":                 {lobby, said(tidings.Message{ID: beyond}), "odd", "", lobby.String(), false},
		"an author beyond a bigint":             {lobby, said(tidings.Message{ID: nth(3), Author: discord.UserID(beyond)}), "odd", "3-3", "", false},
		"deletes, of which one has no id":       {lobby, tidings.MessagesDeleted{IDs: []discord.MessageID{0, nth(3), nth(5)}}, "odd", "3-5", "", false},
		"deletes, of which one is beyond":       {lobby, tidings.MessagesDeleted{IDs: []discord.MessageID{nth(3), beyond}}, "odd", "3-3", "", false},
		"deletes without an id":                 {lobby, tidings.MessagesDeleted{}, "odd", "", lobby.String(), false},
		"a reaction of nobody to nothing":       {lobby, tidings.ReactionChanged{Emoji: "\x00\xff"}, "odd", "", lobby.String(), false},
		"a vote":                                {lobby, tidings.PollVoted{Message: nth(3), Answer: math.MinInt64}, "odd", "3-3", "", false},
		"pins":                                  {lobby, tidings.PinsChanged{LastPin: time.Date(1e6, 1, 1, 0, 0, 0, 0, time.UTC)}, "odd", "", lobby.String(), false},
		"a message of no channel":               {0, said(tidings.Message{ID: nth(3)}), "odd", "", "", true},
		"a channel beyond a bigint":             {discord.ChannelID(beyond), tidings.ChannelGone{ID: discord.ChannelID(beyond)}, "odd", "", "", true},
		"a role without an id, with odd words":  {0, tidings.RoleSeen{Role: tidings.Role{Name: "\x00\xff", Permissions: math.MaxUint64}}, "odd", "", "", true},
		"members of a thread beyond a bigint":   {0, tidings.ThreadMembersChanged{Thread: discord.ChannelID(beyond), Removed: []discord.UserID{0}}, "odd", "", "", true},
		"a channel with an odd name and parent": {lobby, tidings.ChannelSeen{Channel: tidings.Channel{ID: lobby, Name: "\xff\x00", Parent: discord.ChannelID(beyond)}}, "odd", "", "", true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := listen(t)
			l.ready("one")
			l.shown(0, 0)
			if _, err := l.DeadLetter(t.Context(), event(c.channel, c.body), errors.New(c.cause)); err != nil {
				t.Fatalf("DeadLetter() = %.300v", err)
			}
			if n := one[int](t, l.Store, `SELECT count(*) FROM dead_events`); n != 1 {
				t.Errorf("%d events are kept, want 1", n)
			}
			if m, ok := c.body.(tidings.MessageCreated); ok && len(m.Message.Payload) > 0 {
				if raw := one[[]byte](t, l.Store, `SELECT raw FROM dead_events`); !bytes.Equal(raw, m.Message.Payload) {
					t.Errorf("%d bytes are kept, want the %d that came", len(raw), len(m.Message.Payload))
				}
			}
			l.leaves(c.gaps, c.again, c.doubt)
		})
	}
}

// leaves checks what an event in the lobby has left to be set right.
func (l *listener) leaves(gaps, again string, doubt bool) {
	l.t.Helper()
	if got := l.gapsOf(lobby); got != gaps {
		l.t.Errorf("the gaps are %q, want %q", got, gaps)
	}
	if got := l.jobs(Reconcile); got != again {
		l.t.Errorf("to be read again is %q, want %q", got, again)
	}
	if is, err := l.Doubted(l.t.Context(), testGuild); err != nil || is != doubt {
		l.t.Errorf("the server is in doubt: %t, %v, want %t", is, err, doubt)
	}
	if got := l.jobs(ReadGuild); (got != "") != doubt {
		l.t.Errorf("servers to be read again are %q", got)
	}
}

// Where the letter itself is refused, what is missing is shown and set right all the same.
func TestALetterThatCannotBeKeptLeavesAGap(t *testing.T) {
	t.Parallel()
	m := tidings.Message{Guild: testGuild, Channel: lobby, ID: nth(2)}
	cases := map[string]struct {
		channel discord.ChannelID
		source  tidings.Source
		body    tidings.Body
		gaps    string
		again   string
		doubt   bool
	}{
		"a message":                   {lobby, tidings.SourceGateway, tidings.MessageCreated{Message: m}, "2-2", "", false},
		"a message that was fetched":  {lobby, tidings.SourceBackfill, tidings.MessageCreated{Message: m}, "2-2", "", false},
		"a message nobody could read": {lobby, tidings.SourceGateway, tidings.Unreadable{Name: "MESSAGE_UPDATE"}, "", lobby.String(), false},
		"a role":                      {0, tidings.SourceGateway, tidings.RoleGone{ID: moderators}, "", "", true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := listen(t)
			l.ready("one")
			l.shown(0, 0)
			l.said(lobby, nth(1))
			if _, err := l.db.Exec(`ALTER TABLE dead_events ADD CONSTRAINT never CHECK (false)`); err != nil {
				t.Fatal(err)
			}
			ev := event(c.channel, c.body)
			ev.Source = c.source
			told, err := l.DeadLetter(t.Context(), ev, errors.New("odd"))
			if err != nil {
				t.Fatalf("DeadLetter() = %v", err)
			}
			if c.doubt && len(told.Access) != 1 {
				t.Errorf("DeadLetter() = %+v, want that those who are connected are told", told)
			}
			l.leaves(c.gaps, c.again, c.doubt)
			if c.gaps != "" {
				l.want("with the letter refused", lobby, "2-2", "3")
			}
		})
	}
}
