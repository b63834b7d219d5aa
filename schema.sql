-- The whole schema. It is applied at start under an advisory lock and skipped when its hash is known, so every statement
-- can be run again. Never edit a CREATE TABLE that was released: append an ALTER that can be run again.
--
-- Ids are Discord's snowflakes as bigint. Times that belong to Discord's objects are in ids or milliseconds; times of our
-- own are timestamptz. 0 stands for "none" in ids that may be absent.

-- Who and where -------------------------------------------------------------------------------------------------------

CREATE TABLE IF NOT EXISTS guilds (
	id             bigint      PRIMARY KEY,
	name           text        NOT NULL DEFAULT '',
	icon           text        NOT NULL DEFAULT '',
	owner_id       bigint      NOT NULL DEFAULT 0,
	available      boolean     NOT NULL DEFAULT true,
	removed_at     timestamptz,                        -- the bot was removed; what is held is purged after a grace period
	access_version bigint      NOT NULL DEFAULT 1,     -- grows with each change of who may read what
	first_seen     timestamptz NOT NULL DEFAULT now(),
	live_session   text        NOT NULL DEFAULT '',    -- the gateway session that has told all since the guild was last seen whole; see channels.known_id
	lived          boolean     NOT NULL DEFAULT false, -- some gateway session has shown it whole; until then nobody has looked for archived threads
	suspect_id     bigint      NOT NULL DEFAULT 0,     -- from here on something may have been left out; looked at when the guild is next seen whole
	self_id        bigint      NOT NULL DEFAULT 0,     -- the bot's own id, and its roles here; 0 while they are not known
	self_roles     bigint[]    NOT NULL DEFAULT '{}'
) WITH (fillfactor = 70);
CREATE INDEX IF NOT EXISTS guilds_session ON guilds (live_session) WHERE live_session <> '';

CREATE TABLE IF NOT EXISTS roles (
	guild_id    bigint NOT NULL,
	id          bigint NOT NULL,
	name        text   NOT NULL,
	color       int    NOT NULL DEFAULT 0,
	position    int    NOT NULL DEFAULT 0,
	permissions bigint NOT NULL,                       -- the bit set; bit 63 is not used by Discord
	PRIMARY KEY (guild_id, id)
);

CREATE TABLE IF NOT EXISTS channels (
	id              bigint  PRIMARY KEY,
	guild_id        bigint  NOT NULL,
	parent_id       bigint  NOT NULL DEFAULT 0,
	type            int     NOT NULL DEFAULT -1,       -- -1: a message came before its channel; nobody may read it yet
	name            text    NOT NULL DEFAULT '',
	topic           text    NOT NULL DEFAULT '',
	position        int     NOT NULL DEFAULT 0,
	nsfw            boolean NOT NULL DEFAULT false,
	archived        boolean NOT NULL DEFAULT false,
	deleted         boolean NOT NULL DEFAULT false,
	overwrites      jsonb   NOT NULL DEFAULT '[]',
	last_message_id bigint  NOT NULL DEFAULT 0,        -- what Discord says; may be of a deleted message
	last_live_id    bigint  NOT NULL DEFAULT 0,        -- the newest live, countable message here
	last_seen_id    bigint  NOT NULL DEFAULT 0,        -- the newest id ever recorded here, dead ones too
	version         bigint  NOT NULL DEFAULT 0,        -- grows by one with each delta
	-- Every message from since_id up to known_id is stored or lies in an open gap; since_id is 0 while that is not known. Only
	-- what the guild's live_session tells in its order moves known_id, and what opens a gap up to there.
	since_id        bigint  NOT NULL DEFAULT 0,
	known_id        bigint  NOT NULL DEFAULT 0,
	-- The version that was current when the newest messages were last read again, and up to which id.
	audited_version bigint  NOT NULL DEFAULT 0,
	audited_id      bigint  NOT NULL DEFAULT 0,
	audited_at      timestamptz
) WITH (fillfactor = 70);
CREATE INDEX IF NOT EXISTS channels_guild ON channels (guild_id);
CREATE INDEX IF NOT EXISTS channels_parent ON channels (parent_id) WHERE parent_id <> 0;

CREATE TABLE IF NOT EXISTS users (
	id         bigint      PRIMARY KEY,
	name       text        NOT NULL DEFAULT '',
	avatar     text        NOT NULL DEFAULT '',
	rev        bigint      NOT NULL DEFAULT 0,         -- grows with each mark
	first_seen timestamptz NOT NULL DEFAULT now(),
	seen_at    timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 70);

-- Memberships of signed-in people only. state: 'asking' while Discord is asked, 'in', 'out'.
CREATE TABLE IF NOT EXISTS members (
	guild_id      bigint      NOT NULL,
	user_id       bigint      NOT NULL,
	state         text        NOT NULL DEFAULT 'asking' CHECK (state IN ('asking', 'in', 'out')),
	nick          text        NOT NULL DEFAULT '',
	roles         bigint[]    NOT NULL DEFAULT '{}',
	flags         bigint      NOT NULL DEFAULT 0,
	timeout_until timestamptz,
	events        bigint      NOT NULL DEFAULT 0,      -- counts gateway events, so that an older answer cannot overwrite a newer event
	checked_at    timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (guild_id, user_id)
);
CREATE INDEX IF NOT EXISTS members_user ON members (user_id);

-- In which servers people are, as Discord said when they signed in last, and when that was (guild_id 0).
CREATE TABLE IF NOT EXISTS servers_of (
	user_id  bigint      NOT NULL,
	guild_id bigint      NOT NULL,
	name     text        NOT NULL,
	icon     text        NOT NULL DEFAULT '',
	asked_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (user_id, guild_id)
);

-- Of private threads only, and of all their members: who signs in later would not be told of again.
CREATE TABLE IF NOT EXISTS thread_members (
	thread_id bigint NOT NULL,
	user_id   bigint NOT NULL,
	PRIMARY KEY (thread_id, user_id)
);
CREATE INDEX IF NOT EXISTS thread_members_user ON thread_members (user_id);

-- Messages ------------------------------------------------------------------------------------------------------------

CREATE TABLE IF NOT EXISTS messages (
	channel_id  bigint  NOT NULL,
	id          bigint  NOT NULL,
	author_id   bigint  NOT NULL,
	type        int     NOT NULL,
	flags       bigint  NOT NULL DEFAULT 0,
	content     text    NOT NULL,
	payload     bytea,                                 -- Discord's object as it came; NULL once deleted
	edited_ms   bigint  NOT NULL DEFAULT 0,
	source      int     NOT NULL DEFAULT 0,
	deleted     boolean NOT NULL DEFAULT false,        -- a tombstone: content and payload are blank, and stay so
	countable   boolean NOT NULL DEFAULT true,
	recorded_at timestamptz NOT NULL DEFAULT now(),
	has         int     NOT NULL DEFAULT 0,            -- what the message has besides text, a bit each; see features.go
	words       tsvector GENERATED ALWAYS AS (to_tsvector('simple', left(content, 16000))) STORED,
	PRIMARY KEY (channel_id, id)
) WITH (autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX IF NOT EXISTS messages_live ON messages (channel_id, id) INCLUDE (author_id) WHERE NOT deleted AND countable;
CREATE INDEX IF NOT EXISTS messages_words ON messages USING gin (words);
CREATE INDEX IF NOT EXISTS messages_own ON messages (channel_id, author_id, id) WHERE NOT deleted AND countable;

-- kind: 0 a person, 1 a role, 2 everyone (target_id is the guild's id). @everyone is one row, whatever the guild's size.
CREATE TABLE IF NOT EXISTS mention_targets (
	kind       smallint NOT NULL,
	target_id  bigint   NOT NULL,
	channel_id bigint   NOT NULL,
	message_id bigint   NOT NULL,
	author_id  bigint   NOT NULL,
	PRIMARY KEY (kind, target_id, channel_id, message_id) INCLUDE (author_id)  -- mention counts are index-only
) WITH (autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX IF NOT EXISTS mention_targets_message ON mention_targets (channel_id, message_id);

-- What authors are called on all of Discord, in lower case, for searching by name.
CREATE TABLE IF NOT EXISTS author_names (
	name      text   NOT NULL,
	author_id bigint NOT NULL,
	PRIMARY KEY (name, author_id)
);
-- When a message was last recorded under the name, to a few days.
ALTER TABLE author_names ADD COLUMN IF NOT EXISTS seen_on date NOT NULL DEFAULT current_date;
CREATE INDEX IF NOT EXISTS author_names_author ON author_names (author_id);

-- Exact counts of live, countable messages by UTC day since 2015-01-01. Rebuildable from messages.
CREATE TABLE IF NOT EXISTS live_buckets (
	channel_id bigint NOT NULL,
	day        int    NOT NULL,
	n          int    NOT NULL,
	PRIMARY KEY (channel_id, day)
) WITH (fillfactor = 70);

CREATE TABLE IF NOT EXISTS reactions (
	channel_id bigint NOT NULL,
	message_id bigint NOT NULL,
	emoji      text   NOT NULL,                        -- ":id" of a custom one, whose name may change; the character otherwise
	user_id    bigint NOT NULL,
	present    boolean NOT NULL DEFAULT true,          -- false: the last word was that it was taken back
	PRIMARY KEY (channel_id, message_id, emoji, user_id)
);

CREATE TABLE IF NOT EXISTS pins (
	channel_id  bigint NOT NULL PRIMARY KEY,
	last_pin_ms bigint NOT NULL                        -- 0 when none is left
);

CREATE TABLE IF NOT EXISTS poll_votes (
	channel_id bigint NOT NULL,
	message_id bigint NOT NULL,
	answer     int    NOT NULL,
	user_id    bigint NOT NULL,
	present    boolean NOT NULL DEFAULT true,
	PRIMARY KEY (channel_id, message_id, answer, user_id)
);

-- What people have read -----------------------------------------------------------------------------------------------

CREATE TABLE IF NOT EXISTS read_positions (
	user_id    bigint  NOT NULL,
	channel_id bigint  NOT NULL,
	read_id    bigint  NOT NULL,                       -- an ordinal, not a reference: deleting that message changes nothing
	manual     boolean NOT NULL DEFAULT false,         -- mark unread from here; stands until a newer mark by hand
	rev        bigint  NOT NULL,
	PRIMARY KEY (user_id, channel_id)
) WITH (fillfactor = 70);

CREATE TABLE IF NOT EXISTS read_floors (
	user_id  bigint NOT NULL,
	scope_id bigint NOT NULL,                          -- 0 everything, else a guild
	floor_id bigint NOT NULL,
	rev      bigint NOT NULL,
	PRIMARY KEY (user_id, scope_id)
) WITH (fillfactor = 70);

CREATE TABLE IF NOT EXISTS baselines (
	user_id     bigint NOT NULL,
	guild_id    bigint NOT NULL,
	baseline_id bigint NOT NULL,
	PRIMARY KEY (user_id, guild_id)
);

CREATE TABLE IF NOT EXISTS read_log (
	user_id bigint      NOT NULL,
	rev     bigint      NOT NULL,
	what    text        NOT NULL,                      -- 'read', 'unread', 'floor', 'own'
	before  jsonb       NOT NULL,                      -- the rows that it replaced
	at      timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (user_id, rev)
);

-- scope_id: 0 the feed, else a guild or a channel last looked at. "New since you left" starts from it.
CREATE TABLE IF NOT EXISTS visits (
	user_id       bigint      NOT NULL,
	scope_id      bigint      NOT NULL,
	last_visit_at timestamptz NOT NULL,
	PRIMARY KEY (user_id, scope_id)
) WITH (fillfactor = 70);

CREATE TABLE IF NOT EXISTS ignored_authors (
	user_id   bigint NOT NULL,
	author_id bigint NOT NULL,
	PRIMARY KEY (user_id, author_id)
);

CREATE TABLE IF NOT EXISTS saved_messages (
	user_id    bigint      NOT NULL,
	channel_id bigint      NOT NULL,
	message_id bigint      NOT NULL,
	at         timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (user_id, channel_id, message_id)
);

CREATE TABLE IF NOT EXISTS mutes (
	user_id  bigint NOT NULL,
	scope_id bigint NOT NULL,                          -- a channel, a category or a guild
	until    timestamptz,                              -- NULL for ever
	PRIMARY KEY (user_id, scope_id)
);

-- Words and phrases that a person wants to hear of.
CREATE TABLE IF NOT EXISTS keywords (
	user_id bigint PRIMARY KEY,
	words   text[] NOT NULL
);

CREATE TABLE IF NOT EXISTS views (
	id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	user_id    bigint      NOT NULL,
	name       text        NOT NULL,
	filters    jsonb       NOT NULL,                   -- what it shows; see store/views.go
	feed_hash  bytea       UNIQUE,                     -- SHA-256 of the secret in its feed's address; NULL for none
	created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS views_user ON views (user_id);

-- Addresses that are told of a person's mentions and the like. What is at or below settled_id was told, or never will be; above it,
-- sent names what was told, because messages are not stored in the order of their ids.
CREATE TABLE IF NOT EXISTS outgoing_webhooks (
	id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	user_id    bigint      NOT NULL,
	url        text        NOT NULL,
	secret     bytea       NOT NULL,                   -- encrypted; see ENCRYPTION_KEY
	mentions   boolean     NOT NULL,
	keywords   boolean     NOT NULL,
	view_id    bigint      NOT NULL DEFAULT 0,
	settled_id bigint      NOT NULL,
	sent       bigint[]    NOT NULL DEFAULT '{}',
	failures   int         NOT NULL DEFAULT 0,         -- in a row
	last_error text        NOT NULL DEFAULT '',
	last_at    timestamptz,                            -- when something was sent last, or failed
	stopped    boolean     NOT NULL DEFAULT false,     -- it has failed too often
	created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS outgoing_webhooks_user ON outgoing_webhooks (user_id);

-- What does not mention the person in a guild. A row with neither is not kept.
CREATE TABLE IF NOT EXISTS suppressed (
	user_id  bigint  NOT NULL,
	guild_id bigint  NOT NULL,
	everyone boolean NOT NULL,
	roles    boolean NOT NULL,
	PRIMARY KEY (user_id, guild_id)
);

-- Completeness --------------------------------------------------------------------------------------------------------

-- What is complete of a channel is derived: from since_id up to known_id, without the open gaps. No row says it a second time.
CREATE TABLE IF NOT EXISTS gaps (
	id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	channel_id bigint      NOT NULL,
	from_id    bigint      NOT NULL,                   -- exclusive
	to_id      bigint      NOT NULL,                   -- inclusive
	reason     text        NOT NULL,
	opened_at  timestamptz NOT NULL DEFAULT now(),
	healed_at  timestamptz,
	recovered  int         NOT NULL DEFAULT 0,         -- countable messages that were found in it
	rest_id    bigint      NOT NULL,                   -- it is read from the newest down: what is still to be read ends here, inclusive
	backfill   boolean     NOT NULL DEFAULT false      -- the past of a channel that is new here, which nobody misses yet
);
CREATE INDEX IF NOT EXISTS gaps_open ON gaps (channel_id) WHERE healed_at IS NULL;
CREATE INDEX IF NOT EXISTS gaps_healed ON gaps (channel_id, healed_at) WHERE healed_at IS NOT NULL AND recovered > 0;

CREATE TABLE IF NOT EXISTS gateway_sessions (
	shard       int         NOT NULL,
	shards      int         NOT NULL,
	session_id  text        NOT NULL DEFAULT '',
	resume_url  text        NOT NULL DEFAULT '',
	seq         bigint      NOT NULL DEFAULT 0,        -- everything up to here is committed
	lease_epoch bigint      NOT NULL DEFAULT 0,        -- grows with each owner; a write under an older one is refused
	owner       text        NOT NULL DEFAULT '',
	lease_until timestamptz NOT NULL DEFAULT now(),
	updated_at  timestamptz NOT NULL DEFAULT now(),
	listening   boolean     NOT NULL DEFAULT false,    -- connected, and past the replay
	hole        bigint      NOT NULL DEFAULT 0,        -- the lowest sequence that was left out and may still come; 0 for none
	hole_id     bigint      NOT NULL DEFAULT 0,        -- messages below this id were told before the hole
	PRIMARY KEY (shard, shards)
) WITH (fillfactor = 50);

-- Events that could not be processed, kept whole so that they can be tried again.
CREATE TABLE IF NOT EXISTS dead_events (
	id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	guild_id   bigint      NOT NULL,
	channel_id bigint      NOT NULL,
	kind       text        NOT NULL,
	raw        bytea,
	cause      text        NOT NULL,
	at         timestamptz NOT NULL DEFAULT now(),
	tries      int         NOT NULL DEFAULT 0,         -- how often it was tried again
	retry_at   timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS jobs (
	id           bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	kind         text        NOT NULL,
	key          text        NOT NULL DEFAULT '',      -- at most one open job per kind and key
	guild_id     bigint      NOT NULL DEFAULT 0,       -- the job dies with the bot's access to it
	priority     smallint    NOT NULL DEFAULT 0,       -- higher first
	payload      jsonb       NOT NULL DEFAULT '{}',
	state        text        NOT NULL DEFAULT 'ready' CHECK (state IN ('ready', 'running', 'done', 'dead')),
	attempt      int         NOT NULL DEFAULT 0,
	max_attempts int         NOT NULL DEFAULT 8,
	run_at       timestamptz NOT NULL DEFAULT now(),
	turn         timestamptz NOT NULL DEFAULT now(),   -- run_at, five minutes earlier for each priority: the earliest goes first
	again        boolean     NOT NULL DEFAULT false,   -- asked for once more while it was running
	lease_until  timestamptz,
	worker       text        NOT NULL DEFAULT '',      -- names the one claim under which it runs
	last_error   text        NOT NULL DEFAULT '',
	revived      int         NOT NULL DEFAULT 0,       -- how often it was brought back from the dead
	created_at   timestamptz NOT NULL DEFAULT now(),
	finished_at  timestamptz
) WITH (autovacuum_vacuum_scale_factor = 0.02, fillfactor = 80);
CREATE UNIQUE INDEX IF NOT EXISTS jobs_open ON jobs (kind, key) WHERE state IN ('ready', 'running') AND key <> '';
CREATE UNIQUE INDEX IF NOT EXISTS jobs_tick ON jobs (kind, key) WHERE key LIKE '@%';  -- one for each tick of the timetable, done or not
CREATE INDEX IF NOT EXISTS jobs_next ON jobs (kind, turn, id) WHERE state = 'ready';
CREATE INDEX IF NOT EXISTS jobs_lease ON jobs (lease_until) WHERE state = 'running';
CREATE INDEX IF NOT EXISTS jobs_finished ON jobs (finished_at) WHERE state IN ('done', 'dead');

-- Kinds of jobs that fail persistently, or did.
CREATE TABLE IF NOT EXISTS alerts (
	kind       text        PRIMARY KEY,
	since      timestamptz NOT NULL,
	failures   int         NOT NULL,
	reason     text        NOT NULL,
	told_at    timestamptz NOT NULL,                   -- when operators were told of its beginning last
	began_told boolean     NOT NULL DEFAULT true,      -- they were told of this time, and are to be told of its end
	ended_at   timestamptz                             -- NULL while it fails
);

CREATE TABLE IF NOT EXISTS job_pauses (
	kind text        PRIMARY KEY,
	at   timestamptz NOT NULL DEFAULT now()
);

-- People's access to this service -------------------------------------------------------------------------------------

CREATE TABLE IF NOT EXISTS sessions (
	token   text        PRIMARY KEY,                   -- a hash; the cookie holds what it is of
	data    bytea       NOT NULL,
	expires timestamptz NOT NULL
);
CREATE INDEX IF NOT EXISTS sessions_expires ON sessions (expires);

-- Whose session it is, so that people can see and end theirs. What is in a session is for the web only.
CREATE TABLE IF NOT EXISTS session_people (
	token      text        PRIMARY KEY,                -- as in sessions
	user_id    bigint      NOT NULL,
	agent      text        NOT NULL DEFAULT '',        -- what the browser calls itself
	created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS session_people_user ON session_people (user_id);

CREATE TABLE IF NOT EXISTS api_tokens (
	id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	user_id    bigint      NOT NULL,
	name       text        NOT NULL DEFAULT '',
	hash       bytea       NOT NULL UNIQUE,            -- SHA-256; the token itself is shown once and kept nowhere
	scopes     text[]      NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now(),
	used_at    timestamptz,
	revoked_at timestamptz
);
CREATE INDEX IF NOT EXISTS api_tokens_user ON api_tokens (user_id);

CREATE TABLE IF NOT EXISTS oauth_tokens (
	user_id    bigint      PRIMARY KEY,
	sealed     bytea       NOT NULL,                   -- encrypted; see ENCRYPTION_KEY
	updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS audit_log (
	id      bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	at      timestamptz NOT NULL DEFAULT now(),
	user_id bigint      NOT NULL DEFAULT 0,
	what    text        NOT NULL,
	detail  jsonb       NOT NULL DEFAULT '{}'
);

-- Sources beside the gateway ------------------------------------------------------------------------------------------

-- When each guild was last looked at by polling. It only spreads the looking: losing it costs a few requests.
CREATE TABLE IF NOT EXISTS guild_polls (
	guild_id   bigint      PRIMARY KEY,
	polled_at  timestamptz NOT NULL DEFAULT 'epoch',         -- 1970 for never
	learned_at timestamptz NOT NULL DEFAULT 'epoch',  -- roles, channels and members, not only news
	moved_at   timestamptz NOT NULL DEFAULT now()         -- when there was news last
) WITH (fillfactor = 50);

-- What came to the webhook address, kept before it is answered and processed afterwards.
CREATE TABLE IF NOT EXISTS webhook_events (
	id           bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	source       text        NOT NULL,
	replay_key   bytea       NOT NULL,                    -- SHA-256 of the signature: the same delivery is taken once
	body         bytea       NOT NULL,                    -- as it came
	received_at  timestamptz NOT NULL DEFAULT now(),
	processed_at timestamptz,
	outcome      text        NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX IF NOT EXISTS webhook_events_replay ON webhook_events (source, replay_key);
CREATE INDEX IF NOT EXISTS webhook_events_received ON webhook_events (received_at);

-- Which channel a lobby of a game is linked to, as LOBBY_MESSAGE_CREATE says it: the event of a delete names the lobby only.
CREATE TABLE IF NOT EXISTS lobby_channels (
	lobby_id   bigint PRIMARY KEY,
	channel_id bigint NOT NULL
);

-- Forgetting ----------------------------------------------------------------------------------------------------------

-- Which message a stored one quotes, so that the quote goes when that message does.
ALTER TABLE messages ADD COLUMN IF NOT EXISTS quoted_id bigint NOT NULL DEFAULT 0;
CREATE INDEX IF NOT EXISTS messages_quoting ON messages (quoted_id) WHERE quoted_id <> 0;

-- Ids up to here were purged: whoever brings them again is refused.
ALTER TABLE channels ADD COLUMN IF NOT EXISTS purged_id bigint NOT NULL DEFAULT 0;

-- When the grace period of a server that removed the bot had passed, and all but ids and counters was deleted.
ALTER TABLE guilds ADD COLUMN IF NOT EXISTS purged_at timestamptz;

-- Authors whose messages are kept without what they say. Whoever records messages reads it, in the transaction; whoever adds to it
-- waits for those transactions by locking it, so that no message slips through.
CREATE TABLE IF NOT EXISTS author_optouts (
	author_id bigint      PRIMARY KEY,
	at        timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX IF NOT EXISTS audit_log_at ON audit_log (at);

-- What operators set -------------------------------------------------------------------------------------------------

-- How many days a server's messages are kept, where that is fewer than everywhere else; 0 for as everywhere else.
ALTER TABLE guilds ADD COLUMN IF NOT EXISTS retention_days int NOT NULL DEFAULT 0;
-- false: nothing more of it is stored.
ALTER TABLE guilds ADD COLUMN IF NOT EXISTS kept boolean NOT NULL DEFAULT true;
ALTER TABLE channels ADD COLUMN IF NOT EXISTS kept boolean NOT NULL DEFAULT true;

-- What the bot may read, and reactions ------------------------------------------------------------------------------------

-- Since when the bot may not read the channel; NULL while it may, and while that is not known.
ALTER TABLE channels ADD COLUMN IF NOT EXISTS closed_at timestamptz;

-- When a message's reactions were changed last by what was told of them.
ALTER TABLE messages ADD COLUMN IF NOT EXISTS reacted_at timestamptz;

-- Databases of before these stood in CREATE TABLE.
ALTER TABLE guilds ADD COLUMN IF NOT EXISTS self_id bigint NOT NULL DEFAULT 0;
ALTER TABLE guilds ADD COLUMN IF NOT EXISTS self_roles bigint[] NOT NULL DEFAULT '{}';

-- Never losing a message -----------------------------------------------------------------------------------------------

-- Since when a page of the gap is under way: what is found missing meanwhile is not covered by it.
ALTER TABLE gaps ADD COLUMN IF NOT EXISTS asked_at timestamptz;
-- Discord shows something there that cannot be made out or stored; it is read again at retry_at, each time later.
ALTER TABLE gaps ADD COLUMN IF NOT EXISTS unclear boolean NOT NULL DEFAULT false;
ALTER TABLE gaps ADD COLUMN IF NOT EXISTS tries int NOT NULL DEFAULT 0;
ALTER TABLE gaps ADD COLUMN IF NOT EXISTS retry_at timestamptz NOT NULL DEFAULT now();
-- When the gateway changed the message last, which of its sessions did (a hash; 0 for none), and where in that session.
ALTER TABLE messages ADD COLUMN IF NOT EXISTS told_at timestamptz;
ALTER TABLE messages ADD COLUMN IF NOT EXISTS told_by bigint NOT NULL DEFAULT 0;
ALTER TABLE messages ADD COLUMN IF NOT EXISTS told_seq bigint NOT NULL DEFAULT 0;
-- What has died is not asked for again at once.
CREATE INDEX IF NOT EXISTS jobs_dead ON jobs (kind, key) WHERE state = 'dead';

-- Until when a shard that is connected is known to hear everything; its process moves it on every other second, a process that was
-- killed does not.
ALTER TABLE gateway_sessions ADD COLUMN IF NOT EXISTS heard_until timestamptz NOT NULL DEFAULT 'epoch';
-- Since when it is not known who may read what in the guild, because something that was told of it could not be understood; NULL for
-- never. Nobody sees anything of it until it was read again.
ALTER TABLE guilds ADD COLUMN IF NOT EXISTS doubted_at timestamptz;

-- Whose turn it is to begin a gateway session, by Discord's rate_limit_key: nobody else's until then, in whichever process.
CREATE TABLE IF NOT EXISTS identify_turns (
	key        int         PRIMARY KEY,
	taken_till timestamptz NOT NULL
);

-- Which processes would run more shards than they do, until when: they say it again every ten seconds. Who runs at least two more than one
-- of them hands it one. A name's later run stands here, or nobody of that name.
CREATE TABLE IF NOT EXISTS gateway_waiters (
	name   text        PRIMARY KEY,
	owner  text        NOT NULL,                       -- the name and its run, as in gateway_sessions
	shards int         NOT NULL,
	until  timestamptz NOT NULL
);

-- The bot may manage threads there, and so see private ones that it is not in.
ALTER TABLE channels ADD COLUMN IF NOT EXISTS bot_manages boolean NOT NULL DEFAULT false;

-- Notifications ------------------------------------------------------------------------------------------------------------

-- Of what people want to be notified where. scope_id: a channel, category, forum or guild; 0 for everything else.
CREATE TABLE IF NOT EXISTS notify_prefs (
	user_id  bigint   NOT NULL,
	scope_id bigint   NOT NULL,
	level    smallint NOT NULL,                        -- 0 nothing, 1 mentions, 2 all
	PRIMARY KEY (user_id, scope_id)
);

CREATE TABLE IF NOT EXISTS notify_settings (
	user_id    bigint   PRIMARY KEY,
	keywords   boolean  NOT NULL,
	quiet_from smallint NOT NULL DEFAULT 0,            -- minutes of the day in the zone; both are the same where there are no quiet hours
	quiet_to   smallint NOT NULL DEFAULT 0,
	zone       text     NOT NULL DEFAULT ''
);

-- Browsers that are told by Web Push while no page is open. settled_id and sent are as in outgoing_webhooks.
CREATE TABLE IF NOT EXISTS push_subscriptions (
	id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	user_id    bigint      NOT NULL,
	session    text        NOT NULL,                   -- what it was made with, and ends with: "cookie" or "token", and a hash
	endpoint   bytea       NOT NULL UNIQUE,            -- SHA-256 of the address, which is a secret
	sealed     bytea       NOT NULL,                   -- address and keys, encrypted; see ENCRYPTION_KEY
	agent      text        NOT NULL DEFAULT '',
	words      boolean     NOT NULL,                   -- what was written is in it
	settled_id bigint      NOT NULL,
	sent       bigint[]    NOT NULL DEFAULT '{}',
	failures   int         NOT NULL DEFAULT 0,
	last_error text        NOT NULL DEFAULT '',
	last_at    timestamptz,
	created_at timestamptz NOT NULL DEFAULT now(),
	UNIQUE (user_id, session)
);

-- Keys of the service itself, each made once for all processes.
CREATE TABLE IF NOT EXISTS service_keys (
	id     smallint PRIMARY KEY,                       -- 1: Web Push's (VAPID)
	public text     NOT NULL,
	sealed bytea    NOT NULL                           -- the private key, encrypted; see ENCRYPTION_KEY
);

-- Searching, mentions and counts -------------------------------------------------------------------------------------------

-- Searches go through the newest messages of all channels, until they have a page.
CREATE INDEX IF NOT EXISTS messages_newest ON messages (id, channel_id) WHERE NOT deleted;

-- Of the day's count, how many are of each of its 24 hours; NULL where that is not known. Whoever changes the count of a day alone, as older
-- processes do beside newer ones, makes the hours unknown.
ALTER TABLE live_buckets ADD COLUMN IF NOT EXISTS hours int[];
CREATE OR REPLACE FUNCTION live_buckets_forget_hours() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NEW.hours := NULL;
	RETURN NEW;
END
$$;
CREATE OR REPLACE TRIGGER live_buckets_hours
	BEFORE UPDATE ON live_buckets
	FOR EACH ROW
	WHEN (NEW.n <> OLD.n AND OLD.hours IS NOT NULL AND NEW.hours IS NOT DISTINCT FROM OLD.hours)
	EXECUTE FUNCTION live_buckets_forget_hours();

-- Mentions are counted above the oldest position of a person, whatever the channel.
CREATE INDEX IF NOT EXISTS mention_targets_newest ON mention_targets (kind, target_id, message_id) INCLUDE (channel_id, author_id);

-- How often events of a guild were lost for good: a session that was not resumed, or an outage of the guild. silent_at: when that was
-- noticed last, while something that it made doubtful has not been asked about; NULL otherwise.
ALTER TABLE guilds ADD COLUMN IF NOT EXISTS silences bigint NOT NULL DEFAULT 0;
ALTER TABLE guilds ADD COLUMN IF NOT EXISTS silent_at timestamptz;
-- The guild's silences as of when it was last said whether this person is a member. Fewer: it is to be asked again.
ALTER TABLE members ADD COLUMN IF NOT EXISTS settled bigint NOT NULL DEFAULT 0;

-- How well it is known who is in a private thread. events counts what was told and what was missed of its members; read is that count
-- as of when they were asked for last, anything else while they have to be asked for.
CREATE TABLE IF NOT EXISTS thread_reads (
	thread_id  bigint      PRIMARY KEY,
	guild_id   bigint      NOT NULL,
	events     bigint      NOT NULL DEFAULT 0,
	read       bigint      NOT NULL DEFAULT -1,
	partial    boolean     NOT NULL DEFAULT false,     -- only of signed-in people it could be asked
	doubted_at timestamptz                             -- since when somebody may have been removed without a word; NULL for never
);
CREATE INDEX IF NOT EXISTS thread_reads_guild ON thread_reads (guild_id);

-- A list of threads does not name it any more, or did not name it when it might have gone: Discord has to be asked.
ALTER TABLE channels ADD COLUMN IF NOT EXISTS unnamed boolean NOT NULL DEFAULT false;
CREATE INDEX IF NOT EXISTS channels_unnamed ON channels (guild_id) WHERE unnamed;

-- Mentions of everyone in channels whose guild was not known when they were stored.
WITH mended AS (
	UPDATE mention_targets t
	SET target_id = c.guild_id
	FROM channels c
	WHERE t.kind = 2 AND t.target_id = 0 AND c.id = t.channel_id AND c.guild_id <> 0 AND NOT EXISTS (
		SELECT FROM mention_targets o WHERE o.kind = 2 AND o.target_id = c.guild_id AND o.channel_id = t.channel_id AND o.message_id = t.message_id)
	RETURNING t.channel_id)
UPDATE channels
SET version = version + 1
WHERE id IN (SELECT channel_id FROM mended);

-- What operators see -------------------------------------------------------------------------------------------------------

-- How a job's last ten attempts went, the oldest first: attempt, began_at, ended_at, outcome (done, failed or dead) and error. A trigger
-- keeps it, because an attempt ends in many ways: by its worker, by another one that finds the lease over, by hand. What was only
-- given back, because its process stops or others wait, is no attempt.
ALTER TABLE jobs ADD COLUMN IF NOT EXISTS claimed_at timestamptz;
ALTER TABLE jobs ADD COLUMN IF NOT EXISTS history jsonb NOT NULL DEFAULT '[]';
CREATE OR REPLACE FUNCTION jobs_remember() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.state = 'running' THEN
		NEW.claimed_at := now();
	ELSIF NEW.last_error <> '' OR NEW.state = 'done' THEN
		NEW.history := CASE WHEN jsonb_array_length(OLD.history) >= 10 THEN OLD.history - 0 ELSE OLD.history END
			|| jsonb_build_array(jsonb_build_object(
				'attempt', OLD.attempt, 'began_at', OLD.claimed_at, 'ended_at', now(),
				'outcome', CASE NEW.state WHEN 'ready' THEN 'failed' ELSE NEW.state END, 'error', left(NEW.last_error, 300)));
	END IF;
	RETURN NEW;
END
$$;
CREATE OR REPLACE TRIGGER jobs_history
	BEFORE UPDATE ON jobs
	FOR EACH ROW
	WHEN ((OLD.state = 'running') <> (NEW.state = 'running'))
	EXECUTE FUNCTION jobs_remember();

-- What the process that runs a shard says of it every other second, while it listens. Numbers are since that process has started.
ALTER TABLE gateway_sessions ADD COLUMN IF NOT EXISTS last_event_at timestamptz;
ALTER TABLE gateway_sessions ADD COLUMN IF NOT EXISTS round_trip_ms int NOT NULL DEFAULT 0;
ALTER TABLE gateway_sessions ADD COLUMN IF NOT EXISTS resumes bigint NOT NULL DEFAULT 0;
ALTER TABLE gateway_sessions ADD COLUMN IF NOT EXISTS identifies bigint NOT NULL DEFAULT 0;
ALTER TABLE gateway_sessions ADD COLUMN IF NOT EXISTS lost bigint NOT NULL DEFAULT 0;

-- Words --------------------------------------------------------------------------------------------------------------------

-- A text with blanks where one word ends and another may begin, so that Postgres' parser sees no tags, entities, addresses, paths, versions and
-- signs, whose parts it would join or leave out. What else of ASCII divides words divides them for the parser anyway; what lies beyond is named,
-- because a locale such as C takes all of it for letters. Messages and what is looked for in them go through it alike, so that they cannot differ.
CREATE OR REPLACE FUNCTION words_apart(content text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
	SELECT regexp_replace(left(content, 16000), '[-+./<@&_~\u00a0-\u00a9\u00ab-\u00b4\u00b6-\u00b9\u00bb-\u00bf\u00d7\u00f7\u2000-\u206f\u20a0-\u20cf\u2190-\u245f\u2500-\u2bff\u2e00-\u2e7f\u3000-\u3004\u3008-\u3020\u3030\ufe00-\ufe4f\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65\U0001f000-\U0001faff\U000e0000-\U000e007f]+', ' ', 'g')
$$;
-- The words of a message.
CREATE OR REPLACE FUNCTION words_of(content text) RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
	SELECT to_tsvector('pg_catalog.simple', words_apart(content))
$$;
-- What holds a phrase: its words behind one another.
CREATE OR REPLACE FUNCTION words_phrase(phrase text) RETURNS tsquery LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
	SELECT phraseto_tsquery('pg_catalog.simple', words_apart(phrase))
$$;
-- What a search asks for: words, "phrases", -excluded ones, and alternatives with or. What makes several words is a phrase.
CREATE OR REPLACE FUNCTION words_asked(search text) RETURNS tsquery LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
	SELECT websearch_to_tsquery('pg_catalog.simple', coalesce(string_agg(
		CASE WHEN lower(term[3]) = 'or' AND term[1] = '' THEN 'or' ELSE term[1] || '"' || words_apart(coalesce(term[2], term[3])) || '"' END, ' ' ORDER BY place), ''))
	FROM regexp_matches(search, '(-?)(?:"([^"]*)"|([^\s"]+))', 'g') WITH ORDINALITY AS t (term, place)
$$;

CREATE OR REPLACE FUNCTION messages_find_words() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NEW.words := words_of(NEW.content);
	RETURN NEW;
END
$$;
CREATE OR REPLACE TRIGGER messages_words
	BEFORE INSERT OR UPDATE OF content ON messages
	FOR EACH ROW
	EXECUTE FUNCTION messages_find_words();

-- Words that were generated stay as they are, and nothing is rewritten here: a job finds those of older messages anew, in bounded steps.
DO $$
BEGIN
	IF EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'messages'::regclass AND attname = 'words' AND attgenerated = 's') THEN
		ALTER TABLE messages ALTER COLUMN words DROP EXPRESSION;
		INSERT INTO jobs (kind, key)
		SELECT 'find-words', 'all'
		WHERE EXISTS (SELECT FROM messages);
	END IF;
END
$$;

-- Like that of channels: a thread that is seen first after a purge of its guild may be older.
ALTER TABLE guilds ADD COLUMN IF NOT EXISTS purged_id bigint NOT NULL DEFAULT 0;

-- Authors whose messages below an id were purged: what was not stored then is not taken in later.
CREATE TABLE IF NOT EXISTS author_purges (
	author_id bigint PRIMARY KEY,
	before_id bigint NOT NULL
);

-- Until when somebody listened, while nobody has shown the guild since; NULL otherwise.
ALTER TABLE guilds ADD COLUMN IF NOT EXISTS unheard_at timestamptz;
