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

// ingestEvents is how many messages one round records. They go to 50 channels in turn.
const ingestEvents = 6000

// nobody is told.
type nobody struct{}

func (nobody) Tell(context.Context, tidings.Result) {}

// ingesting compares what ingest and store commit in a second with COPY of the same rows into the same table, whose indexes
// are the same too; COPY keeps no counts, versions or mentions.
func ingesting(r *report, database string, rounds int) error {
	ctx := context.Background()
	s, db, drop, err := emptySchema(ctx, database)
	if err != nil {
		return err
	}
	defer drop()
	if _, err := db.ExecContext(ctx, `INSERT INTO guilds (id, name) VALUES (1, 'bench')`); err != nil {
		return err
	}
	if _, err := db.ExecContext(ctx, `INSERT INTO channels (id, guild_id, type, name) SELECT 1000 + c, 1, 0, 'c' FROM generate_series(0, 49) c`); err != nil {
		return err
	}
	if _, err := db.ExecContext(ctx, `CREATE TABLE copied (LIKE messages INCLUDING ALL)`); err != nil {
		return err
	}
	in := ingest.New(s, nobody{}, ingest.Options{})
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- in.Run(ctx) }()
	next := uint64(tidings.FirstID(time.Now()))
	var ratios []float64
	for round := range rounds {
		var all []tidings.Message
		for i := range ingestEvents {
			next += 1 << 22 / 8
			all = append(all, gatewayMessage(discord.MessageID(next), i))
		}
		measure := []func() (float64, error){
			func() (float64, error) { return recorded(ctx, in, all) },
			func() (float64, error) { return copied(ctx, db, all) },
		}
		var took [2]float64
		for i := range measure {
			k := (i + round) % 2
			if took[k], err = measure[k](); err != nil {
				cancel()
				return err
			}
		}
		fmt.Fprintf(os.Stderr, "ingest round %d: %.0f events a second, COPY %.0f rows a second\n", round+1, ingestEvents/took[0], ingestEvents/took[1])
		ratios = append(ratios, took[1]/took[0])
	}
	r.add("ingest_rate_vs_copy", ratios)
	cancel()
	return <-done
}

// gatewayMessage is a message of everyday size as bot hands it on.
func gatewayMessage(id discord.MessageID, i int) tidings.Message {
	content := fmt.Sprintf("message %d, in which somebody says what there is to say today about this and that", i)
	channel := discord.ChannelID(1000 + i%50)
	author := discord.UserID(100_000 + i%500)
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
