package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/embedded/testdb"
	"tidings/sim"
	"tidings/sim/simtest"
	"tidings/store"
	"tidings/web"
)

func TestTheEncryptionKeyCanBeChanged(t *testing.T) {
	t.Parallel()
	keys := make([][]byte, 3)
	texts := make([]string, 3)
	for i := range keys {
		keys[i] = make([]byte, 32)
		rand.Read(keys[i])
		texts[i] = base64.StdEncoding.EncodeToString(keys[i])
	}
	_, prefix := testdb.Redis(t)
	c := &Config{DatabaseURL: testdb.Postgres(t), RedisURL: "unix://" + testdb.RedisOptions(t).Addr, RedisPrefix: prefix, DataDir: t.TempDir()}
	st, err := store.Open(t.Context(), store.Options{DatabaseURL: c.DatabaseURL})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	// Sealing is web's; what it gives under one key, Reseal of the next can open.
	sealed := map[discord.UserID][]byte{}
	for u := discord.UserID(1); u <= 3; u++ {
		under, err := web.Seal(keys[min(int(u)-1, 1)], u, []byte("a token")) // 1 under the first, 2 and 3 under the second
		if err != nil {
			t.Fatal(err)
		}
		if err := st.SaveOAuthToken(t.Context(), u, under); err != nil {
			t.Fatal(err)
		}
		sealed[u] = under
	}
	if err := st.SaveOAuthToken(t.Context(), 4, []byte("nobody can open this")); err != nil {
		t.Fatal(err)
	}
	if _, err := st.SaveUser(t.Context(), tidings.User{ID: 1, Name: "one"}); err != nil {
		t.Fatal(err)
	}
	secret, err := web.Seal(keys[0], 1, []byte("a secret"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.CreateOutgoing(t.Context(), store.OutgoingWebhook{User: 1, URL: "https://example.org", Secret: secret, Mentions: true}); err != nil {
		t.Fatal(err)
	}
	command(t, c, exitUsage, "reseal", "--encryption-key", texts[1])
	command(t, c, exitUsage, "reseal", "--encryption-key", texts[1], "--old-encryption-keys", "short")
	if out := command(t, c, exitFailure, "reseal", "--encryption-key", texts[1], "--old-encryption-keys", texts[0]); out != "2 tokens and secrets are encrypted under the new key now\n" {
		t.Errorf("reseal says %q", out)
	}
	for u := discord.UserID(1); u <= 3; u++ {
		now, err := st.OAuthToken(t.Context(), u)
		if err != nil {
			t.Fatal(err)
		}
		if same := bytes.Equal(now, sealed[u]); same != (u > 1) {
			t.Errorf("user %d: the token was touched: %v", u, !same)
		}
		if plain, err := web.Open(keys[1], u, now); err != nil || string(plain) != "a token" {
			t.Errorf("user %d: the token opens as %q, %v", u, plain, err)
		}
	}
}

// A backup is made and restored as docs/OPERATIONS.md says, and the service goes on where it was.
func TestABackupCanBeRestored(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("pg_dump"); err != nil {
		t.Fatal("pg_dump is needed: install PostgreSQL's client programs")
	}
	d := simtest.Start(t, sim.Options{})
	owner, reader := d.Person("owner"), d.Person("reader")
	guild := d.Guild("Harbour", owner, []simtest.Person{reader}, []string{"general"}, nil)
	c := configFor(t, d)
	from, to := testdb.RestartablePostgres(t), testdb.RestartablePostgres(t)
	c.DatabaseURL = from.URL()
	me := credential{token: makeToken(t, c, reader.ID)}
	s := start(t, c)
	eventually(t, "the channel is there", time.Minute, func() bool { return len(s.unread(me).channels()) == 1 })
	d.Say(owner, guild.Channel("general"), "before the backup")
	eventually(t, "one message is unread", time.Minute, func() bool { return s.unread(me).Total == 1 })
	file := filepath.Join(t.TempDir(), "backup")
	pg := func(name string, args ...string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
	}
	pg("pg_dump", "--format=custom", "--no-owner", "--file", file, "--dbname", from.URL()) // while it runs
	if info, err := os.Stat(file); err != nil || info.Size() < 1000 {
		t.Fatalf("the backup is %v, %v", info, err)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	d.Say(owner, guild.Channel("general"), "after the backup")
	from.Stop()
	pg("pg_restore", "--no-owner", "--exit-on-error", "--dbname", to.URL(), file)
	c.DatabaseURL = to.URL()
	s = start(t, c)
	eventually(t, "both messages are unread, by the same token", time.Minute, func() bool { return s.unread(me).Total == 2 })
	d.Say(owner, guild.Channel("general"), "and on it goes")
	eventually(t, "three messages are unread", time.Minute, func() bool { return s.unread(me).Total == 3 })
}
