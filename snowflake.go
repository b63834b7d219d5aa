package tidings

import (
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

// Day returns the UTC day that a message's id falls into, as days since Discord's epoch of 2015-01-01. live_buckets count by it.
func Day(id discord.MessageID) int32 {
	return int32(uint64(id) >> 22 / 86_400_000)
}

// Hour returns the UTC hour of the day that a message's id falls into, 0 to 23.
func Hour(id discord.MessageID) int {
	return int(uint64(id) >> 22 / 3_600_000 % 24)
}

// DayEnd returns the first id of the day after d.
func DayEnd(d int32) discord.MessageID {
	return discord.MessageID((uint64(d) + 1) * 86_400_000 << 22)
}

// known turns the two values that mean "no id", 0 and JSON's null, into 0.
func known[T ~uint64](id T) T {
	if id == ^T(0) {
		return 0
	}
	return id
}
