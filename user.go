package tidings

import "github.com/diamondburned/arikawa/v3/discord"

// User is a person who has signed in, or for whom a token was made.
type User struct {
	ID     discord.UserID `db:"id"`
	Name   string         `db:"name"`
	Avatar string         `db:"avatar"` // Discord's avatar hash, "" for none
	Rev    int64          `db:"rev"`
}
