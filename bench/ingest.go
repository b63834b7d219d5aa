package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/ingest"
)

// ingestEvents is how many messages one round records.
const ingestEvents = 20_000

// nobody is told.
type nobody struct{}

func (nobody) Tell(context.Context, tidings.Result) {}

// depot is a store with ingest before it, in a schema of its own, with channels from 1000 on.
type depot struct {
	db     *sql.DB
	in     *ingest.Ingest
	master int // Postgres' first process
	next   uint64
	stop   func() error
}

func newDepot(ctx context.Context, database string, channels int) (*depot, error) {
	s, db, drop, err := emptySchema(ctx, database)
	if err != nil {
		return nil, err
	}
	d := &depot{db: db, next: uint64(tidings.FirstID(time.Now()))}
	err = d.exec(ctx, `INSERT INTO guilds (id, name) VALUES (1, 'bench')`)
	if err == nil {
		err = d.exec(ctx, `INSERT INTO channels (id, guild_id, type, name) SELECT 1000 + c, 1, 0, 'c' FROM generate_series(0, $1::int - 1) c`, channels)
	}
	if err == nil {
		d.master, err = postmaster(ctx, db)
	}
	if err != nil {
		drop()
		return nil, err
	}
	d.in = ingest.New(s, nobody{}, ingest.Options{})
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- d.in.Run(ctx) }()
	d.stop = func() error {
		cancel()
		err := <-done
		drop()
		return err
	}
	return d, nil
}

func (d *depot) exec(ctx context.Context, q string, args ...any) error {
	_, err := d.db.ExecContext(ctx, q, args...)
	return err
}

// messages are n new ones, in so many channels in turn.
func (d *depot) messages(n, channels int) []tidings.Message {
	all := make([]tidings.Message, n)
	for i := range all {
		d.next += 1 << 22 / 8
		all[i] = gatewayMessage(discord.MessageID(d.next), i, channels)
	}
	return all
}

// cost is what something took: time, and processor time here and in Postgres.
type cost struct{ took, own, theirs float64 }

func (d *depot) measure(f func() (float64, error)) (c cost, err error) {
	own, theirs := cpu(), family(d.master)
	if c.took, err = f(); err != nil {
		return c, err
	}
	c.own, c.theirs = cpu()-own, family(d.master)-theirs
	return c, nil
}

func (d *depot) record(ctx context.Context, all []tidings.Message) (cost, error) {
	return d.measure(func() (float64, error) { return recorded(ctx, d.in, all) })
}

// ingesting compares what ingest and store commit in a second with COPY of the same rows into the same table, whose indexes
// are the same too, and with one INSERT a transaction; neither keeps counts, versions or mentions.
func ingesting(r *report, database string, rounds int) error {
	ctx := context.Background()
	d, err := newDepot(ctx, database, 5000)
	if err != nil {
		return err
	}
	if err := ingestRounds(ctx, r, d, rounds); err != nil {
		_ = d.stop()
		return err
	}
	return d.stop()
}

func ingestRounds(ctx context.Context, r *report, d *depot, rounds int) error {
	// LIKE copies no trigger, and COPY has to find the words too.
	if err := d.exec(ctx, `CREATE TABLE copied (LIKE messages INCLUDING ALL);
		CREATE TRIGGER copied_words BEFORE INSERT ON copied FOR EACH ROW EXECUTE FUNCTION messages_find_words()`); err != nil {
		return err
	}
	ratios, singles := map[int][]float64{}, []float64{}
	for round := range rounds {
		for _, channels := range []int{1, 50, 5000} {
			all := d.messages(ingestEvents, channels)
			var c [2]cost
			steps := []func() (float64, error){
				func() (float64, error) { return recorded(ctx, d.in, all) },
				func() (float64, error) { return copied(ctx, d.db, all) },
			}
			for i := range steps {
				k := (i + round) % 2
				var err error
				if c[k], err = d.measure(steps[k]); err != nil {
					return err
				}
			}
			each := 1e6 / float64(ingestEvents)
			fmt.Fprintf(os.Stderr, "ingest round %d, %4d channels: %.0f events a second (%.0f µs CPU each, and %.0f of Postgres), COPY %.0f rows a second (%.0f and %.0f)\n", round+1, channels,
				ingestEvents/c[0].took, c[0].own*each, c[0].theirs*each, ingestEvents/c[1].took, c[1].own*each, c[1].theirs*each)
			ratios[channels] = append(ratios[channels], c[1].took/c[0].took)
			if channels != 50 {
				continue
			}
			some := d.messages(ingestEvents/20, channels)
			took, err := inserted(ctx, d.db, some)
			if err != nil {
				return err
			}
			singles = append(singles, took/float64(len(some))/(c[0].took/ingestEvents))
		}
	}
	r.add("ingest_rate_vs_copy", ratios[50])
	for _, channels := range []int{1, 50, 5000} {
		r.add(fmt.Sprintf("ingest_rate_vs_copy_%d_channels", channels), ratios[channels])
	}
	r.add("ingest_rate_vs_single_inserts", singles)
	return nil
}

// inserted stores each message by one INSERT, in a transaction of its own.
func inserted(ctx context.Context, db *sql.DB, all []tidings.Message) (float64, error) {
	st, err := db.PrepareContext(ctx, `INSERT INTO copied (channel_id, id, author_id, type, content, payload) VALUES ($1, $2, $3, 0, $4, $5)`)
	if err != nil {
		return 0, err
	}
	defer st.Close()
	began := time.Now()
	for _, m := range all {
		if _, err := st.ExecContext(ctx, int64(m.Channel), int64(m.ID), int64(m.Author), m.Content, []byte(m.Payload)); err != nil {
			return 0, err
		}
	}
	return time.Since(began).Seconds(), nil
}

// gatewayMessage is a message of everyday size as bot hands it on, the i-th of some that go to so many channels in turn.
func gatewayMessage(id discord.MessageID, i, channels int) tidings.Message {
	content := chatter(uint64(id))
	channel := discord.ChannelID(1000 + i%channels)
	author := speaker(uint64(id), i%channels)
	return tidings.Message{
		Channel: channel, ID: id, Guild: 1, Author: author, Content: content, Countable: true,
		Payload: fmt.Appendf(nil, `{"id":"%d","channel_id":"%d","guild_id":"1","type":0,"content":"%s","author":{"id":"%d","username":"somebody","discriminator":"0",`+
			`"avatar":null,"global_name":"Some Body"},"attachments":[],"embeds":[],"mentions":[],"mention_roles":[],"pinned":false,"mention_everyone":false,"tts":false,`+
			`"timestamp":"2025-01-01T00:00:00.000000+00:00","edited_timestamp":null,"flags":0,"components":[]}`, id, channel, content, author),
	}
}

func recorded(ctx context.Context, in *ingest.Ingest, all []tidings.Message) (float64, error) {
	events := make([]tidings.Event, len(all))
	for i, m := range all {
		events[i] = tidings.Event{Guild: 1, Channel: m.Channel, At: time.Now(), Body: tidings.MessageCreated{Message: m}}
	}
	began := time.Now()
	err := in.Commit(ctx, events...)
	return time.Since(began).Seconds(), err
}

func copied(ctx context.Context, db *sql.DB, all []tidings.Message) (float64, error) {
	began := time.Now()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer tx.Rollback()
	st, err := tx.PrepareContext(ctx, `COPY copied (channel_id, id, author_id, type, flags, content, payload, edited_ms, source, deleted, countable) FROM STDIN`)
	if err != nil {
		return 0, err
	}
	for _, m := range all {
		if _, err := st.ExecContext(ctx, int64(m.Channel), int64(m.ID), int64(m.Author), 0, 0, m.Content, []byte(m.Payload), 0, 0, false, true); err != nil {
			return 0, err
		}
	}
	if _, err := st.ExecContext(ctx); err != nil {
		return 0, err
	}
	if err := tx.Commit(); err != nil {
		return 0, err
	}
	return time.Since(began).Seconds(), nil
}
