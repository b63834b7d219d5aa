package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/jmoiron/sqlx"
)

// AuditEntry is a line of the audit log: who did what that others may ask about later. It holds ids and numbers, no content.
type AuditEntry struct {
	ID     int64           `db:"id" json:"id"`
	At     time.Time       `db:"at" json:"at"`
	User   discord.UserID  `db:"user_id" json:"user"` // 0: the operator at the command line, or the service itself
	What   string          `db:"what" json:"what"`
	Detail json.RawMessage `db:"detail" json:"detail"`
}

const addAudit = `
INSERT INTO audit_log (user_id, what, detail)
VALUES ($1, $2, $3)`

// note writes a line into the audit log, in the transaction of what it tells.
func note(ctx context.Context, tx sqlx.ExecerContext, by discord.UserID, what string, detail any) error {
	b, err := json.Marshal(detail)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, addAudit, int64(by), what, string(b))
	return err
}

// Note writes a line into the audit log.
func (s *Store) Note(ctx context.Context, by discord.UserID, what string, detail any) error {
	if err := note(ctx, s.db, by, what, detail); err != nil {
		return fmt.Errorf("note %s: %w", what, unavailable(err))
	}
	return nil
}

const selectAuditLog = `
SELECT id, at, user_id, what, detail
FROM audit_log
WHERE ($1::bigint = 0 OR id < $1) AND ($2::bigint = 0 OR detail->>'guild' = $2::bigint::text)
ORDER BY id DESC
LIMIT $3`

// AuditLog lists the newest lines, those before an id where it is not 0, and of one guild where that is not 0.
func (s *Store) AuditLog(ctx context.Context, guild discord.GuildID, before int64, limit int) ([]AuditEntry, error) {
	list := []AuditEntry{}
	if err := s.db.SelectContext(ctx, &list, selectAuditLog, before, int64(guild), limit); err != nil {
		return nil, fmt.Errorf("read the audit log: %w", unavailable(err))
	}
	return list, nil
}
