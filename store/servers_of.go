package store

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/jmoiron/sqlx"

	"tidings"
)

// Bounds of what Discord says of a person's servers.
const (
	maxServers    = 200 // as many as a person can be in
	maxServerName = 100
)

const deleteServers = `
DELETE FROM servers_of
WHERE user_id = $1`

const insertServers = `
INSERT INTO servers_of (user_id, guild_id, name, icon)
VALUES %s
ON CONFLICT DO NOTHING`

var insertServersTypes = []string{"bigint", "bigint", "text", "text"}

// SaveServers keeps in which servers a person is, as Discord has said now, instead of what it said before.
func (s *Store) SaveServers(ctx context.Context, user discord.UserID, servers []tidings.Guild) error {
	rows := [][]any{{int64(user), int64(0), "", ""}}
	for _, g := range servers[:min(len(servers), maxServers)] {
		if int64(g.ID) <= 0 {
			continue
		}
		name := strings.ReplaceAll(strings.ToValidUTF8(g.Name, "\uFFFD"), "\x00", "")
		if utf8.RuneCountInString(name) > maxServerName {
			name = string([]rune(name)[:maxServerName])
		}
		rows = append(rows, []any{int64(user), int64(g.ID), name, strings.ToValidUTF8(strings.ReplaceAll(g.Icon, "\x00", ""), "")})
	}
	err := s.inTx(ctx, nil, func(tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(ctx, deleteServers, int64(user)); err != nil {
			return err
		}
		return execRows(ctx, tx, insertServers, insertServersTypes, rows)
	})
	if err != nil {
		return fmt.Errorf("save the servers of user %d: %w", user, err)
	}
	return nil
}

const selectServersWithout = `
SELECT s.guild_id AS id, s.name, s.icon, s.asked_at
FROM servers_of s
WHERE s.user_id = $1 AND NOT EXISTS (SELECT FROM guilds g WHERE g.id = s.guild_id AND g.removed_at IS NULL)
ORDER BY lower(s.name), s.guild_id`

// ServersWithout lists those of a person's servers in which the bot is not, by name, and when Discord said so: zero when it was never
// asked.
func (s *Store) ServersWithout(ctx context.Context, user discord.UserID) (servers []tidings.Guild, asked time.Time, err error) {
	var rows []struct {
		ID   discord.GuildID `db:"id"`
		Name string          `db:"name"`
		Icon string          `db:"icon"`
		At   time.Time       `db:"asked_at"`
	}
	if err := s.db.SelectContext(ctx, &rows, selectServersWithout, int64(user)); err != nil {
		return nil, asked, fmt.Errorf("list the servers of user %d: %w", user, unavailable(err))
	}
	for _, r := range rows {
		if asked = r.At; r.ID != 0 {
			servers = append(servers, tidings.Guild{ID: r.ID, Name: r.Name, Icon: r.Icon})
		}
	}
	return servers, asked, nil
}
