package store

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tidings"
)

// shares is four shards of which owners run some, all connected.
type shares struct {
	*Store
	t      testing.TB
	leases map[int]tidings.GatewaySession
}

func newShares(t testing.TB, owners ...string) *shares {
	t.Helper()
	s := &shares{open(t), t, map[int]tidings.GatewaySession{}}
	for shard, owner := range owners {
		s.take(shard, len(owners), owner)
	}
	return s
}

func (s *shares) check(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *shares) take(shard, n int, owner string) {
	s.t.Helper()
	g, err := s.LeaseShard(s.t.Context(), shard, n, owner, time.Minute)
	s.check(err)
	if g.Session == "" {
		g.Session, g.Seq = "session "+string(rune('a'+shard)), 1
		s.check(s.SaveSession(s.t.Context(), g))
	}
	s.check(s.Listening(s.t.Context(), g, true))
	s.leases[shard] = g
}

func (s *shares) awaits(n int, owner string, ttl time.Duration) (hope bool) {
	s.t.Helper()
	hope, err := s.AwaitShards(s.t.Context(), n, owner, ttl)
	s.check(err)
	return hope
}

func (s *shares) wanted(n int, owner string) bool {
	s.t.Helper()
	wanted, err := s.ShardWanted(s.t.Context(), n, owner)
	s.check(err)
	return wanted
}

func (s *shares) hand(shard int, owner string) (to string) {
	s.t.Helper()
	to, err := s.HandShard(s.t.Context(), s.leases[shard], 1, owner, time.Minute)
	s.check(err)
	return to
}

func TestAShardIsHandedToWhoHasTwoFewer(t *testing.T) {
	t.Parallel()
	s := newShares(t, "one#1", "one#1", "one#1", "one#1")
	if to := s.hand(3, "one#1"); to != "" {
		t.Fatalf("nobody waits, and the shard went to %q", to)
	}
	if !s.awaits(4, "two#1", time.Minute) {
		t.Error("AwaitShards() of one without a shard sees no hope, want some")
	}
	if !s.wanted(4, "one#1") || s.wanted(4, "two#1") {
		t.Error("ShardWanted() says no to who has four shards, or yes to who has none")
	}
	before := s.leases[3]
	before.Seq = 7
	s.leases[3] = before
	if to := s.hand(3, "one#1"); to != "two#1" {
		t.Fatalf("the shard went to %q, want two#1", to)
	}
	if n := one[int](t, s.Store, `SELECT count(*) FROM gateway_sessions WHERE listening`); n != 3 {
		t.Errorf("%d shards listen, want those three that were not handed over", n)
	}
	for _, owner := range []string{"one#1", "three#1"} {
		if _, err := s.LeaseShard(t.Context(), 3, 4, owner, time.Minute); err == nil {
			t.Errorf("%s got the shard that was handed to another", owner)
		}
	}
	if err := s.RenewShard(t.Context(), before, time.Minute); err == nil {
		t.Error("who handed the shard over still renews its lease")
	}
	s.check(s.ReleaseShard(t.Context(), before)) // It ends just now; that must not free what is another's.
	if to := s.hand(2, "one#1"); to != "" {
		t.Errorf("the next shard went to %q before the first was taken up", to)
	}
	given, err := s.GivenShards(t.Context(), 4, "two#1")
	if err != nil || !slices.Equal(given, []int{3}) {
		t.Errorf("GivenShards() = %v, %v, want shard 3", given, err)
	}
	s.take(3, 4, "two#1")
	if got := s.leases[3]; got.Session != before.Session || got.Seq != before.Seq {
		t.Errorf("the new owner goes on with %+v, want %+v", got, before)
	}
	if to := s.hand(2, "one#1"); to != "two#1" {
		t.Fatalf("the second shard went to %q, want two#1", to)
	}
	s.take(2, 4, "two#1")
	if s.awaits(4, "two#1", time.Minute) {
		t.Error("AwaitShards() with half of the shards sees hope")
	}
	if s.wanted(4, "one#1") {
		t.Error("ShardWanted() with two each")
	}
	s.awaits(4, "one#1", time.Minute)
	for shard, owner := range []string{"one#1", "one#1", "two#1", "two#1"} {
		if to := s.hand(shard, owner); to != "" {
			t.Errorf("with two each, shard %d went to %q", shard, to)
		}
	}
}

func TestAShardIsKept(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		owners []string
		before func(*shares)
		handed bool
	}{
		"and not by who has two more": {
			[]string{"one#1", "one#1"}, func(s *shares) { s.awaits(2, "two#1", time.Minute) }, true,
		},
		"with one more than who waits": {
			[]string{"one#1", "one#1", "two#1"}, func(s *shares) { s.awaits(3, "two#1", time.Minute) }, false,
		},
		"when the word of who waits is over": {
			[]string{"one#1", "one#1"}, func(s *shares) { s.awaits(2, "two#1", time.Minute); s.awaits(2, "two#1", 0) }, false,
		},
		"when another number of shards is waited for": {
			[]string{"one#1", "one#1"}, func(s *shares) { s.awaits(3, "two#1", time.Minute) }, false,
		},
		"from an earlier run of its name": {
			[]string{"one#7", "one#7"}, func(s *shares) { s.awaits(2, "one#5", time.Minute) }, false,
		},
		"from an earlier run of a name that runs a shard": {
			[]string{"one#1", "one#1", "one#1", "two#7"}, func(s *shares) { s.awaits(4, "two#5", time.Minute) }, false,
		},
		"from an earlier run of a name that waits": {
			[]string{"one#1", "one#1"}, func(s *shares) {
				s.awaits(2, "two#7", time.Minute)
				s.awaits(2, "two#7", 0)
				s.awaits(2, "two#5", time.Minute)
			}, false,
		},
		"while one of who waits does not listen": {
			[]string{"one#1", "one#1", "one#1", "two#1"}, func(s *shares) {
				s.awaits(4, "two#1", time.Minute)
				s.check(s.Listening(s.t.Context(), s.leases[3], false))
			}, false,
		},
		"while one of who waits says nothing": {
			[]string{"one#1", "one#1", "one#1", "two#1"}, func(s *shares) {
				s.awaits(4, "two#1", time.Minute)
				s.db.MustExec(`UPDATE gateway_sessions SET heard_until = now() WHERE shard = 3`)
			}, false,
		},
		"with a hole": {
			[]string{"one#1", "one#1"}, func(s *shares) {
				s.awaits(2, "two#1", time.Minute)
				s.check(s.NoteHole(s.t.Context(), s.leases[0], 5, 1))
			}, false,
		},
		"without a session": {
			[]string{"one#1", "one#1"}, func(s *shares) {
				s.awaits(2, "two#1", time.Minute)
				g := s.leases[0]
				g.Session = ""
				s.check(s.SaveSession(s.t.Context(), g))
			}, false,
		},
		"when another session is stored": {
			[]string{"one#1", "one#1"}, func(s *shares) {
				s.awaits(2, "two#1", time.Minute)
				g := s.leases[0]
				g.Session = "newer"
				s.check(s.SaveSession(s.t.Context(), g))
			}, false,
		},
		"when the database has gone back": {
			[]string{"one#1", "one#1"}, func(s *shares) {
				s.awaits(2, "two#1", time.Minute)
				s.db.MustExec(`UPDATE gateway_sessions SET seq = 0`)
			}, false,
		},
		"by an older lease": {
			[]string{"one#1", "one#1"}, func(s *shares) {
				s.awaits(2, "two#1", time.Minute)
				old := s.leases[0]
				s.take(0, 2, "one#1")
				s.leases[0] = old
			}, false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShares(t, c.owners...)
			c.before(s)
			if to := s.hand(0, c.owners[0]); (to != "") != c.handed {
				t.Errorf("the shard went to %q, want it handed over: %v", to, c.handed)
			}
			got := one[string](t, s.Store, `SELECT string_agg(owner, ' ' ORDER BY shard) FROM gateway_sessions`)
			if want := strings.Join(c.owners, " "); (got == want) == c.handed {
				t.Errorf("the shards are run by %s, before by %s", got, want)
			}
		})
	}
}

// Three who run two shards each all find that one waits that has none. It gets two at most, one after the other.
func TestManyWhoHandOverAtOnceGiveNobodyTooMany(t *testing.T) {
	t.Parallel()
	owners := []string{"one#1", "one#1", "two#1", "two#1", "three#1", "three#1"}
	s := newShares(t, owners...)
	s.awaits(6, "four#1", time.Minute)
	var wg sync.WaitGroup
	for shard, owner := range owners {
		wg.Go(func() {
			if _, err := s.HandShard(t.Context(), s.leases[shard], 1, owner, time.Minute); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := one[int](t, s.Store, `SELECT count(*) FROM gateway_sessions WHERE owner = 'four#1'`); n != 1 {
		t.Errorf("who waited was given %d shards at once, want one", n)
	}
}

func TestWhoIsHandedAShardAndDoesNotTakeItLosesIt(t *testing.T) {
	t.Parallel()
	s := newShares(t, "one#1", "one#1")
	s.awaits(2, "two#1", time.Minute)
	if to := s.hand(0, "one#1"); to != "two#1" {
		t.Fatalf("the shard went to %q", to)
	}
	s.db.MustExec(`UPDATE gateway_sessions SET lease_until = now() WHERE owner = 'two#1'`) // as time passes
	s.take(0, 2, "one#1")
}

func TestWordsOfThoseWhoAreGoneAreForgotten(t *testing.T) {
	t.Parallel()
	s := newShares(t, "one#1", "one#1")
	s.awaits(2, "two#1", -2*time.Hour)
	s.awaits(2, "three#1", time.Minute)
	if n := one[int](t, s.Store, `SELECT count(*) FROM gateway_waiters`); n != 1 {
		t.Errorf("%d words are kept, want that of who waits still", n)
	}
}
