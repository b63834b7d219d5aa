package store

import (
	"context"
	"testing"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
)

// fill does the jobs that fill the cache, as the worker does, and returns the keys of those that there were.
func fill(t *testing.T, s *Store) []string {
	t.Helper()
	var keys []string
	if _, err := s.db.Exec(`UPDATE jobs SET run_at = now()`); err != nil {
		t.Fatal(err)
	}
	jobs, err := s.ClaimJobs(t.Context(), time.Now().String(), map[string]int{FillCache: 100}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for _, j := range jobs {
		id, _ := discord.ParseSnowflake(j.Key)
		if err := s.RefreshCache(t.Context(), discord.ChannelID(id)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.FinishJob(t.Context(), j); err != nil {
			t.Fatal(err)
		}
		keys = append(keys, j.Key)
	}
	return keys
}

// holds fails unless Redis holds a channel's page as it stands now, with so many messages.
func holds(t *testing.T, s *Store, when string, c discord.ChannelID, n int) {
	t.Helper()
	p, ok := s.cache.get(t.Context(), c, MaxPage)
	v, err := s.Versions(t.Context(), []discord.ChannelID{c})
	if err != nil {
		t.Fatal(err)
	}
	if !ok || p.Version != v[c] || len(p.Messages) != n {
		t.Errorf("%s: Redis holds %d messages at version %d (%v), want %d at %d", when, len(p.Messages), p.Version, ok, n, v[c])
	}
}

func TestAnEmptyRedisIsFilledAgainOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cache.wait = time.Minute
	w.post(general, alice, nobody, tidings.FirstID(time.Now().Add(-2*time.Minute)), tidings.FirstID(time.Now().Add(-time.Minute)))
	w.post(random, alice, nobody, tidings.FirstID(time.Now().Add(-time.Second)))
	w.post(news, alice, nobody, tidings.FirstID(time.Now().Add(-3*time.Hour)))
	warm := func(when string, want int) {
		t.Helper()
		if n, err := w.EnqueueWarming(t.Context(), 10); err != nil || n != want {
			t.Errorf("%s: %d channels are filled (%v), want %d", when, n, err, want)
		}
	}
	warm("at first", 2)
	if keys := fill(t, w.Store); len(keys) != 2 {
		t.Errorf("%q are filled, want general and random", keys)
	}
	holds(t, w.Store, "at first", general, 2)
	warm("when nothing was lost", 0)

	// Redis comes back empty.
	keys, err := w.cache.redis.Keys(context.Background(), w.cache.prefix+"*").Result()
	if err != nil {
		t.Fatal(err)
	}
	w.cache.redis.Del(t.Context(), keys...)
	warm("when all was lost", 2)
	fill(t, w.Store)
	holds(t, w.Store, "when all was lost", general, 2)
	holds(t, w.Store, "when all was lost", random, 1)
	warm("after that", 0)
}

func TestAMarkThatOutrunsTheCacheHasItFilled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cache.wait = time.Minute
	w.post(general, alice, nobody, at(0, 1), at(0, 2))
	if err := w.RefreshCache(t.Context(), general); err != nil {
		t.Fatal(err)
	}
	holds(t, w.Store, "at first", general, 2)
	mark := func(id discord.MessageID) {
		t.Helper()
		if _, err := w.MarkRead(t.Context(), set(me), tidings.MarkRead{Channel: general, UpTo: id}); err != nil {
			t.Fatal(err)
		}
	}
	mark(at(0, 2))
	if keys := fill(t, w.Store); len(keys) != 0 {
		t.Errorf("after a mark within the page %q are filled, want none", keys)
	}
	w.post(general, alice, nobody, at(0, 3))
	mark(at(0, 3))
	if keys := fill(t, w.Store); len(keys) != 1 || keys[0] != general.String() {
		t.Errorf("after a mark beyond the page %q are filled, want general", keys)
	}
	holds(t, w.Store, "after the mark", general, 3)
}
