package tidings

import (
	"fmt"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
)

// NotifyLevel is of what somebody wants to be notified in a place. Levels are numbers in the database: append only.
type NotifyLevel int

// The levels. Words that a person watches are notified wherever mentions are.
const (
	NotifyNothing NotifyLevel = iota
	NotifyMentions
	NotifyAll
)

var notifyLevels = []string{"nothing", "mentions", "all"}

// String is the level as the API has it: nothing, mentions or all.
func (l NotifyLevel) String() string {
	if l < 0 || int(l) >= len(notifyLevels) {
		return fmt.Sprintf("NotifyLevel(%d)", int(l))
	}
	return notifyLevels[l]
}

// ParseNotifyLevel is the reverse of [NotifyLevel.String]; anything else is [ErrInvalid].
func ParseNotifyLevel(s string) (NotifyLevel, error) {
	for i, name := range notifyLevels {
		if s == name {
			return NotifyLevel(i), nil
		}
	}
	return 0, InvalidField("level", "it is all, mentions or nothing")
}

// NotifyPrefs is what somebody wants to be notified of, and when.
type NotifyPrefs struct {
	// Levels holds what was chosen, by channel, category, forum or guild; 0 is for everything else. Without that it is mentions.
	Levels   map[discord.Snowflake]NotifyLevel
	Keywords bool        // the words that they watch, too
	Quiet    *QuietHours // nil for none
}

// Level is what holds for a channel: its own level, else that of what it is in, a thread's channel before a category, and that before the guild.
func (p NotifyPrefs) Level(g discord.GuildID, channel, parent, above discord.ChannelID) NotifyLevel {
	for _, id := range []discord.Snowflake{discord.Snowflake(channel), discord.Snowflake(parent), discord.Snowflake(above), discord.Snowflake(g)} {
		if l, ok := p.Levels[id]; ok && id != 0 {
			return l
		}
	}
	if l, ok := p.Levels[0]; ok {
		return l
	}
	return NotifyMentions
}

// QuietHours is a time of the day in which nobody is notified. It may go over midnight.
type QuietHours struct {
	From int    `db:"quiet_from"` // minutes since midnight, 0 to 1439
	To   int    `db:"quiet_to"`   // likewise, exclusive
	Zone string `db:"zone"`       // as the IANA names it, such as Europe/Berlin
}

// Check reports what is wrong, as [ErrInvalid].
func (q QuietHours) Check() error {
	switch {
	case q.From < 0 || q.From >= 24*60:
		return InvalidField("from", "it is a time of the day, such as 22:00")
	case q.To < 0 || q.To >= 24*60:
		return InvalidField("to", "it is a time of the day, such as 07:30")
	case q.From == q.To:
		return InvalidField("to", "quiet hours end at another time than they begin")
	}
	if _, err := q.zone(); err != nil {
		return InvalidField("zone", "it is no time zone; they are named like Europe/Berlin")
	}
	return nil
}

func (q QuietHours) zone() (*time.Location, error) {
	if q.Zone == "" || q.Zone == "Local" || len(q.Zone) > 64 {
		return nil, ErrInvalid
	}
	return time.LoadLocation(q.Zone)
}

// Now reports whether it is quiet at a time. In a zone that is not known any more it never is.
func (q *QuietHours) Now(at time.Time) bool {
	if q == nil {
		return false
	}
	zone, err := q.zone()
	if err != nil {
		return false
	}
	at = at.In(zone)
	minute := at.Hour()*60 + at.Minute()
	if q.From < q.To {
		return minute >= q.From && minute < q.To
	}
	return minute >= q.From || minute < q.To
}
