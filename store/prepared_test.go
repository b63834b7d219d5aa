package store

import (
	"bytes"
	"context"
	"database/sql/driver"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/lib/pq"

	"tidings"
	"tidings/embedded/testdb"
)

const countPrepared = `SELECT count(*) FROM pg_prepared_statements`

// What is asked all the time is planned once, and goes on when a migration changes a table under it.
func TestWhatIsAskedOftenIsPlannedOnce(t *testing.T) {
	t.Parallel()
	l := listen(t)
	l.ready("one")
	l.shown(0, 0)
	l.db.SetMaxOpenConns(1)
	sees := &tidings.VisibleSet{User: bob, Guilds: []tidings.VisibleGuild{{Guild: tidings.Guild{ID: testGuild}, Channels: []tidings.Channel{{ID: lobby, Guild: testGuild}}}}}
	said := 0
	say := func() {
		t.Helper()
		said++
		l.said(lobby, nth(said))
	}
	count := func() {
		t.Helper()
		if u, err := l.Summary(t.Context(), sees); err != nil || u.Total != said {
			t.Errorf("Summary() after %d messages = %+v, %v", said, u, err)
		}
	}
	compare := func() { // outside of a transaction
		t.Helper()
		if v, err := l.AccessVersionsOf(t.Context(), []discord.GuildID{testGuild}); err != nil || len(v) != 1 {
			t.Errorf("AccessVersionsOf() = %v, %v", v, err)
		}
	}
	for range 3 { // the first of a channel is recorded in other ways
		say()
		count()
		compare()
	}
	n := one[int](t, l.Store, countPrepared)
	if n == 0 {
		t.Fatal("nothing is prepared")
	}
	for range 20 {
		say()
		count()
		compare()
	}
	if now := one[int](t, l.Store, countPrepared); now != n {
		t.Errorf("%d statements are prepared after twenty more messages, and %d after the first", now, n)
	}

	exec := func(query string) {
		t.Helper()
		_, err := l.db.ExecContext(t.Context(), query)
		l.check(err)
	}
	exec(`ALTER TABLE guilds ALTER access_version TYPE int`)
	exec(`ALTER TABLE users ALTER rev TYPE int`)
	compare()
	count()
	for _, do := range []func(){compare, count, say} {
		exec(`DEALLOCATE ALL`)
		do()
	}
	count()
}

// A pooler gives each transaction another connection, on which nothing is prepared, or something else under the same name. It is known by
// what its clients are to cancel with.
func TestNothingIsPreparedThroughAPooler(t *testing.T) {
	t.Parallel()
	prepared := func(address string) int {
		t.Helper()
		s, err := Open(t.Context(), Options{DatabaseURL: address})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		s.db.SetMaxOpenConns(1)
		if _, err := s.Versions(t.Context(), []discord.ChannelID{lobby}); err != nil {
			t.Fatal(err)
		}
		return one[int](t, s, countPrepared)
	}
	address := testdb.Postgres(t)
	if n := prepared(address); n != 1 {
		t.Errorf("%d statements are prepared without a pooler, want 1", n)
	}
	if n := prepared(pooler(t, address)); n != 0 {
		t.Errorf("%d statements are prepared through a pooler", n)
	}
}

// interrupted is asked for connections by somebody who goes away meanwhile.
type interrupted struct {
	driver.Connector
	stop context.CancelFunc
}

func (c interrupted) Connect(ctx context.Context) (driver.Conn, error) {
	defer c.stop()
	return c.Connector.Connect(ctx)
}

func TestAnInterruptedConnectionIsNotTakenForAPoolers(t *testing.T) {
	t.Parallel()
	connector, err := pq.NewConnector(testdb.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	ctx, stop := context.WithCancel(t.Context())
	p := &preparing{Connector: interrupted{connector, stop}, log: slog.New(slog.NewTextHandler(&log, nil))}
	if c, err := p.Connect(ctx); err == nil {
		c.Close()
		t.Error("somebody who has gone is connected")
	}
	if log.Len() > 0 {
		t.Errorf("it says: %s", log.String())
	}
}

// pooler passes on everything but the process and the key by which a client could cancel. It returns its address.
func pooler(t *testing.T, address string) string {
	t.Helper()
	cfg, err := pq.NewConfig(address)
	if err != nil {
		t.Fatal(err)
	}
	network, server := "tcp", net.JoinHostPort(cfg.Host, strconv.Itoa(int(cfg.Port)))
	if strings.HasPrefix(cfg.Host, "/") {
		network, server = "unix", filepath.Join(cfg.Host, ".s.PGSQL."+strconv.Itoa(int(cfg.Port)))
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			up, err := net.Dial(network, server)
			if err != nil {
				client.Close()
				continue
			}
			wg.Go(func() {
				_, _ = io.Copy(up, client)
				up.Close()
			})
			wg.Go(func() {
				defer client.Close()
				_ = renamed(client, up)
			})
		}
	})
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	host, port, _ := net.SplitHostPort(l.Addr().String())
	q := u.Query()
	q.Set("host", host)
	q.Set("port", port)
	u.RawQuery = q.Encode()
	return u.String()
}

// renamed copies Postgres' messages, with another process in BackendKeyData.
func renamed(client io.Writer, up io.Reader) error {
	head := make([]byte, 5)
	for {
		if _, err := io.ReadFull(up, head); err != nil {
			return err
		}
		body := make([]byte, binary.BigEndian.Uint32(head[1:])-4)
		if _, err := io.ReadFull(up, body); err != nil {
			return err
		}
		if head[0] == 'K' {
			binary.BigEndian.PutUint32(body, 7)
		}
		if _, err := client.Write(append(head[:5:5], body...)); err != nil {
			return err
		}
	}
}
