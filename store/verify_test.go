package store

import "testing"

// Each of these queries lists what contradicts the messages.
var contradictions = map[string]string{
	"buckets that differ from a recount": `
SELECT count(*)
FROM (SELECT channel_id, ((id >> 22) / 86400000)::int AS day, count(*) AS n
      FROM messages WHERE NOT deleted AND countable GROUP BY 1, 2) m
FULL JOIN live_buckets b USING (channel_id, day)
WHERE COALESCE(m.n, 0) <> COALESCE(b.n, 0)`,
	"hours that differ from a recount": `
SELECT count(*)
FROM live_buckets b
WHERE b.hours IS NOT NULL AND b.hours <> ARRAY (
	SELECT (SELECT count(*)::int FROM messages m
	        WHERE m.channel_id = b.channel_id AND NOT m.deleted AND m.countable
	        AND m.id >= (b.day::bigint * 24 + h) * 3600000 << 22 AND m.id < (b.day::bigint * 24 + h + 1) * 3600000 << 22)
	FROM generate_series(0, 23) h ORDER BY h)`,
	"heads that are not the newest live message": `
SELECT count(*)
FROM channels c
WHERE c.last_live_id <> COALESCE((SELECT max(id) FROM messages m WHERE m.channel_id = c.id AND NOT deleted AND countable), 0)`,
	"mentions without a live message": `
SELECT count(*)
FROM mention_targets t
WHERE NOT EXISTS (SELECT FROM messages m WHERE m.channel_id = t.channel_id AND m.id = t.message_id
                  AND NOT m.deleted AND m.countable AND m.author_id = t.author_id)`,
	"mentions of a person that differ from the payload": `
SELECT count(*)
FROM (SELECT m.channel_id, m.id AS message_id, (u->>'id')::bigint AS target_id
      FROM messages m, jsonb_array_elements(convert_from(m.payload, 'UTF8')::jsonb->'mentions') u
      WHERE NOT m.deleted AND m.countable) p
FULL JOIN (SELECT * FROM mention_targets WHERE kind = 0) t USING (channel_id, message_id, target_id)
WHERE p.target_id IS NULL OR t.author_id IS NULL`,
	"deleted messages that still say something": `
SELECT count(*)
FROM messages
WHERE deleted AND (content <> '' OR payload IS NOT NULL)`,
	"messages newer than the newest seen": `
SELECT count(*)
FROM messages m
JOIN channels c ON c.id = m.channel_id
WHERE m.id > c.last_seen_id`,
}

// verify recounts everything that is derived from the messages.
func verify(t testing.TB, s *Store) {
	t.Helper()
	for what, query := range contradictions {
		if n := one[int](t, s, query); n != 0 {
			t.Errorf("%d %s, want none", n, what)
		}
	}
}
