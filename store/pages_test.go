package store

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
	"github.com/redis/go-redis/v9"

	"tidings"
	"tidings/embedded/testdb"
)

// page reads a page and returns the numbers of its messages, as at(0, n) made them.
func (w *world) page(q PageQuery) (Page, []int) {
	w.t.Helper()
	p, err := w.Messages(w.t.Context(), q)
	if err != nil {
		w.t.Fatalf("Messages(%+v) = %v", q, err)
	}
	numbers := []int{}
	for _, m := range p.Messages {
		numbers = append(numbers, int(m.ID-at(0, 0)))
	}
	return p, numbers
}

func TestPagesGoThroughAChannelInBothDirections(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for n := 1; n <= 10; n++ {
		w.post(general, alice, nobody, at(0, n))
	}
	w.erase(general, at(0, 4))
	w.post(random, alice, nobody, at(0, 5))
	for _, tt := range []struct {
		name  string
		query PageQuery
		want  []int
		more  bool
	}{
		{"newest", PageQuery{Limit: 3}, []int{10, 9, 8}, true},
		{"all", PageQuery{Limit: 100}, []int{10, 9, 8, 7, 6, 5, 3, 2, 1}, false},
		{"exactly all", PageQuery{Limit: 9}, []int{10, 9, 8, 7, 6, 5, 3, 2, 1}, false},
		{"without a limit", PageQuery{}, []int{10, 9, 8, 7, 6, 5, 3, 2, 1}, false},
		{"before", PageQuery{Before: at(0, 6), Limit: 2}, []int{5, 3}, true},
		{"before, the end", PageQuery{Before: at(0, 3), Limit: 2}, []int{2, 1}, false},
		{"before the first", PageQuery{Before: at(0, 1), Limit: 2}, []int{}, false},
		{"after", PageQuery{After: at(0, 3), Limit: 2}, []int{6, 5}, true},
		{"after, the end", PageQuery{After: at(0, 8), Limit: 2}, []int{10, 9}, false},
		{"after the last", PageQuery{After: at(0, 10), Limit: 2}, []int{}, false},
		{"around", PageQuery{Around: at(0, 6), Limit: 4}, []int{8, 7, 6, 5}, true},
		{"around a deleted one", PageQuery{Around: at(0, 4), Limit: 4}, []int{6, 5, 3, 2}, true},
		{"around near the newest", PageQuery{Around: at(0, 10), Limit: 4}, []int{10, 9, 8, 7}, true},
		{"around near the oldest", PageQuery{Around: at(0, 1), Limit: 4}, []int{5, 3, 2, 1}, false},
		{"around something far newer", PageQuery{Around: at(50, 0), Limit: 2}, []int{10, 9}, true},
		{"around something far older", PageQuery{Around: 1, Limit: 2}, []int{2, 1}, false},
	} {
		tt.query.Channel = general
		p, got := w.page(tt.query)
		if !slices.Equal(got, tt.want) || p.More != tt.more || p.Version != 11 {
			t.Errorf("%s: %v, more %v, version %d; want %v, %v, 11", tt.name, got, p.More, p.Version, tt.want, tt.more)
		}
	}
}

func TestPagesThatCannotBeRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, tt := range []struct {
		name  string
		query PageQuery
		want  error
	}{
		{"two cursors", PageQuery{Channel: general, Before: 1, After: 2}, tidings.ErrInvalid},
		{"a null cursor", PageQuery{Channel: general, Before: discord.NullMessageID}, tidings.ErrInvalid},
		{"too many", PageQuery{Channel: general, Limit: 101}, tidings.ErrInvalid},
		{"fewer than none", PageQuery{Channel: general, Limit: -1}, tidings.ErrInvalid},
		{"an unknown channel", PageQuery{Channel: 5}, tidings.ErrNotFound},
	} {
		if _, err := w.Messages(t.Context(), tt.query); !errors.Is(err, tt.want) {
			t.Errorf("%s: Messages() = %v, want %v", tt.name, err, tt.want)
		}
	}
	var field *tidings.FieldError
	if _, err := w.Messages(t.Context(), PageQuery{Channel: general, After: discord.NullMessageID}); !errors.As(err, &field) || field.Field != "after" {
		t.Errorf("Messages() after no id = %v, want after named", err)
	}
	if p, got := w.page(PageQuery{Channel: general}); len(got) != 0 || p.More {
		t.Errorf("a channel without messages = %+v", p)
	}
}

func TestAPageIsTheSameFromRedisAndFromPostgres(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.post(general, alice, tidings.Mentions{Users: []discord.UserID{me, bob}, Roles: []discord.RoleID{modsA}, Everyone: true}, at(0, 1))
	w.exec(`UPDATE messages SET type = 19, flags = 4, edited_ms = 77, content = 'ä & <b>', payload = '{"x": "ä & <b>" }'`)
	w.post(general, alice, nobody, at(0, 2))
	first, _ := w.page(PageQuery{Channel: general, Limit: 2})
	// Only Redis still knows the text that is overwritten here, behind the version's back.
	w.exec(`UPDATE messages SET content = 'not told'`)
	again, _ := w.page(PageQuery{Channel: general, Limit: 2})
	if len(again.Messages) != 2 || again.Version != first.Version {
		t.Fatalf("the second page = %+v, want %+v", again, first)
	}
	for i := range first.Messages {
		if !sameMessage(first.Messages[i], again.Messages[i]) {
			t.Errorf("from Redis: %+v, want %+v", again.Messages[i], first.Messages[i])
		}
	}
	want := tidings.Message{
		Channel: general, ID: at(0, 1), Guild: guildA, Author: alice, Type: 19, Flags: 4, Content: "ä & <b>",
		Payload: []byte(`{"x": "ä & <b>" }`), EditedMS: 77, Countable: true,
		Mentions: tidings.Mentions{Users: []discord.UserID{me, bob}, Roles: []discord.RoleID{modsA}, Everyone: true},
	}
	if !sameMessage(first.Messages[1], want) {
		t.Errorf("Messages() = %+v, want %+v", first.Messages[1], want)
	}
	w.exec(`UPDATE channels SET version = version + 1`)
	if fresh, _ := w.page(PageQuery{Channel: general, Limit: 1}); fresh.Messages[0].Content != "not told" || !fresh.More {
		t.Errorf("after a new version: %+v, want the stored message", fresh)
	}
}

func sameMessage(a, b tidings.Message) bool {
	slices.Sort(a.Mentions.Users)
	slices.Sort(b.Mentions.Users)
	return a.Channel == b.Channel && a.ID == b.ID && a.Guild == b.Guild && a.Author == b.Author && a.Type == b.Type &&
		a.Flags == b.Flags && a.Content == b.Content && string(a.Payload) == string(b.Payload) && a.EditedMS == b.EditedMS &&
		a.Countable == b.Countable && a.Partial == b.Partial && slices.Equal(a.Mentions.Users, b.Mentions.Users) &&
		slices.Equal(a.Mentions.Roles, b.Mentions.Roles) && a.Mentions.Everyone == b.Mentions.Everyone
}

// Scenario 17: a reader took a page at version 9, then a message was deleted at version 10, then the reader fills the cache.
func TestCacheFilledWithAnOlderVersionNeverShowsTheDeletedMessage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for n := 1; n <= 9; n++ {
		w.post(general, alice, nobody, at(0, n))
	}
	old, err := w.readPage(t.Context(), PageQuery{Channel: general, Limit: MaxPage})
	if err != nil || old.Version != 9 {
		t.Fatalf("readPage() = version %d, %v", old.Version, err)
	}
	version := w.erase(general, at(0, 9))
	deleted := tidings.Result{Deltas: []tidings.Delta{{Channel: general, Version: version, Kind: tidings.DeltaDelete}}}

	t.Run("the delete was told to the cache", func(t *testing.T) {
		w.afterCommit(t.Context(), deleted)
		w.cache.put(t.Context(), general, old)
		if p, ok := w.cache.get(t.Context(), general, MaxPage); ok {
			t.Errorf("the cache took version %d after the eviction at %d", p.Version, version)
		}
	})
	t.Run("it was not", func(t *testing.T) {
		w.cache.redis.Del(t.Context(), w.cache.key(general))
		w.cache.put(t.Context(), general, old)
		if _, ok := w.cache.get(t.Context(), general, MaxPage); !ok {
			t.Fatal("the cache did not take the old page, so this shows nothing")
		}
		if p, got := w.page(PageQuery{Channel: general}); p.Version != version || slices.Contains(got, 9) {
			t.Errorf("Messages() = %v at version %d, want version %d without the deleted message", got, p.Version, version)
		}
	})
	t.Run("the newer page is there already", func(t *testing.T) {
		w.page(PageQuery{Channel: general})
		w.cache.put(t.Context(), general, old)
		w.afterCommit(t.Context(), deleted)
		if p, ok := w.cache.get(t.Context(), general, MaxPage); !ok || p.Version != version {
			t.Errorf("the cache holds version %d (%v), want %d", p.Version, ok, version)
		}
	})
	t.Run("a delete leaves nothing of the message in Redis", func(t *testing.T) {
		version := w.erase(general, at(0, 8))
		w.afterCommit(t.Context(), tidings.Result{Deltas: []tidings.Delta{{Channel: general, Version: version, Kind: tidings.DeltaDelete}}})
		held, err := w.cache.redis.HGetAll(t.Context(), w.cache.key(general)).Result()
		if err != nil || len(held["page"])+len(held["rest"]) != 0 {
			t.Errorf("Redis holds %v, %v", held, err)
		}
	})
}

func TestRecordedDeletesLeaveTheCacheAtOnce(t *testing.T) {
	t.Parallel()
	s := open(t)
	record(t, s, created(t, nth(1), wire{Content: "one"}), created(t, nth(2), wire{Content: "two"}))
	read := func() (ids []discord.MessageID) {
		p, err := s.Messages(t.Context(), PageQuery{Channel: testChannel})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range p.Messages {
			ids = append(ids, m.ID)
		}
		return ids
	}
	read()
	if _, ok := s.cache.get(t.Context(), testChannel, MaxPage); !ok {
		t.Fatal("the page was not cached, so this shows nothing")
	}
	record(t, s, removed(nth(2)))
	if p, ok := s.cache.get(t.Context(), testChannel, MaxPage); ok {
		t.Errorf("the cache still holds version %d", p.Version)
	}
	if got := read(); !slices.Equal(got, []discord.MessageID{nth(1)}) {
		t.Errorf("Messages() = %v, want the first message alone", got)
	}
}

// stalled accepts connections and never answers.
func stalled(t *testing.T) (addr string, connections *atomic.Int32) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	connections = new(atomic.Int32)
	done := make(chan struct{})
	go func() {
		defer close(done)
		var open []net.Conn
		for {
			c, err := l.Accept()
			if err != nil {
				for _, c := range open {
					c.Close()
				}
				return
			}
			connections.Add(1)
			open = append(open, c)
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return l.Addr().String(), connections
}

func TestEverythingWorksWithoutRedis(t *testing.T) {
	t.Parallel()
	silent, _ := stalled(t)
	for name, client := range map[string]redis.UniversalClient{
		"none":    nil,
		"refuses": redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"}),
		"stalls":  redis.NewClient(&redis.Options{Addr: silent, ReadTimeout: 400 * time.Millisecond, MaxRetries: -1}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := Open(t.Context(), Options{DatabaseURL: testdb.Postgres(t), Redis: client})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				s.Close()
				if client != nil {
					client.Close()
				}
			})
			record(t, s, created(t, nth(1), wire{}), created(t, nth(2), wire{}))
			// Were each of these to wait for Redis, they would take ten times as long as they may.
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			for range 500 {
				if p, err := s.Messages(ctx, PageQuery{Channel: testChannel}); err != nil || len(p.Messages) != 2 {
					t.Fatalf("Messages() = %+v, %v", p, err)
				}
			}
			record(t, s, removed(nth(2)))
			if p, err := s.Messages(ctx, PageQuery{Channel: testChannel}); err != nil || len(p.Messages) != 1 {
				t.Errorf("Messages() after a delete = %+v, %v", p, err)
			}
		})
	}
}

func TestRedisIsAskedAgainWhenItIsBack(t *testing.T) {
	t.Parallel()
	client, prefix := testdb.Redis(t)
	var away atomic.Bool
	client.AddHook(failing{&away})
	s, err := Open(t.Context(), Options{DatabaseURL: testdb.Postgres(t), Redis: client, Prefix: prefix})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	record(t, s, created(t, nth(1), wire{}))
	away.Store(true)
	s.Messages(t.Context(), PageQuery{Channel: testChannel})
	away.Store(false)
	if s.cache.usable() {
		t.Error("Redis is asked right after it failed")
	}
	for deadline := time.Now().Add(20 * time.Second); ; {
		s.Messages(t.Context(), PageQuery{Channel: testChannel})
		if _, ok := s.cache.get(t.Context(), testChannel, MaxPage); ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("Redis is never asked again")
		}
		<-time.After(20 * time.Millisecond)
	}
}

// failing is a Redis whose calls fail while away is set.
type failing struct{ away *atomic.Bool }

var errAway = errors.New("away")

func (f failing) DialHook(next redis.DialHook) redis.DialHook { return next }

func (f failing) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if f.away.Load() {
			cmd.SetErr(errAway)
			return errAway
		}
		return next(ctx, cmd)
	}
}

func (f failing) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
