package tidings

import (
	"math"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
)

// FirstID returns the lowest snowflake that can have been made at or after t. Times before 2015 give 0.
func FirstID(t time.Time) discord.MessageID {
	ms := t.UnixMilli() - discord.Epoch.Milliseconds()
	if ms <= 0 {
		return 0
	}
	return discord.MessageID(uint64(ms) << 22)
}

// IDRange is a range of message ids of one channel, from After, exclusive, up to To, inclusive. It is empty when To is not above
// After.
type IDRange struct{ After, To discord.MessageID }

// Within returns the part of the range that lies above one id, exclusive, and up to another, inclusive.
func (r IDRange) Within(after, to discord.MessageID) IDRange {
	return IDRange{max(r.After, after), min(r.To, to)}
}

// Empty reports whether nothing is in the range.
func (r IDRange) Empty() bool { return r.To <= r.After }

// Holds reports whether an id is in the range.
func (r IDRange) Holds(id discord.MessageID) bool { return id > r.After && id <= r.To }

// Day returns the UTC day that a message's id falls into, as days since Discord's epoch of 2015-01-01. live_buckets count by it.
func Day(id discord.MessageID) int32 {
	return int32(uint64(id) >> 22 / 86_400_000)
}

// Hour returns the UTC hour of the day that a message's id falls into, 0 to 23.
func Hour(id discord.MessageID) int {
	return int(uint64(id) >> 22 / 3_600_000 % 24)
}

// known turns what means "no id", 0 and JSON's null, and what can be none, into 0.
func known[T ~uint64](id T) T {
	if uint64(id) > math.MaxInt64 {
		return 0
	}
	return id
}
