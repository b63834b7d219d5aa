package access

import (
	"container/heap"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"
)

// question is a membership that the background has yet to ask about.
type question struct {
	guild discord.GuildID
	user  discord.UserID
	tries int // failed ones
	rank  int // those of a lower one that are due go first
	due   time.Time
	place int
}

// The ranks of questions.
const (
	rankHere    = iota // the membership is doubtful, and the person is here
	rankDoubted        // the membership is doubtful
	rankRest
	ranks
)

type membership struct {
	guild discord.GuildID
	user  discord.UserID
}

// asks holds the background's questions by rank and when they are due, one for each membership, and the guilds whose members have to
// be looked for. It is bounded: what does not fit is found again with the next look for unasked members.
type asks struct {
	mu     sync.Mutex
	heaps  [ranks]questions
	of     map[membership]*question
	wake   chan struct{}
	guilds []discord.GuildID
	found  chan struct{} // tells of guilds
}

const maxAsks = 100_000

func newAsks() *asks {
	return &asks{of: map[membership]*question{}, wake: make(chan struct{}, 1), found: make(chan struct{}, 1)}
}

// put adds a question that is due after a wait. One that is there already keeps the earlier time, and the lower rank.
func (s *asks) put(q question, wait time.Duration) {
	q.due = time.Now().Add(wait)
	s.mu.Lock()
	defer s.mu.Unlock()
	key := membership{q.guild, q.user}
	if had := s.of[key]; had != nil {
		if !q.due.Before(had.due) && q.rank >= had.rank {
			return
		}
		if had.due.Before(q.due) {
			q.due = had.due
		}
		q.rank, q.tries = min(q.rank, had.rank), had.tries
		heap.Remove(&s.heaps[had.rank], had.place)
	} else if len(s.of) >= maxAsks && !s.dropOne(q.rank) {
		return
	}
	s.of[key] = &q
	heap.Push(&s.heaps[q.rank], &q)
	nudge(s.wake)
}

// dropOne makes room for a question of a rank at the cost of one of a higher one.
func (s *asks) dropOne(rank int) bool {
	for r := ranks - 1; r > rank; r-- {
		if n := len(s.heaps[r]); n > 0 {
			q := heap.Remove(&s.heaps[r], n-1).(*question)
			delete(s.of, membership{q.guild, q.user})
			return true
		}
	}
	return false
}

// hurry moves the doubtful memberships of somebody who is here now to the front.
func (s *asks) hurry(u discord.UserID, guilds []discord.GuildID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range guilds {
		if q := s.of[membership{g, u}]; q != nil && q.rank == rankDoubted {
			heap.Remove(&s.heaps[q.rank], q.place)
			q.rank = rankHere
			heap.Push(&s.heaps[q.rank], q)
			nudge(s.wake)
		}
	}
}

// take removes the next question that is due. Without one it says how long to wait, at most a minute.
func (s *asks) take() (q question, ok bool, wait time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	wait = time.Minute
	for r := range s.heaps {
		if len(s.heaps[r]) == 0 {
			continue
		}
		if left := time.Until(s.heaps[r][0].due); left > 0 {
			wait = min(wait, left)
			continue
		}
		next := heap.Pop(&s.heaps[r]).(*question)
		delete(s.of, membership{next.guild, next.user})
		return *next, true, 0
	}
	return question{}, false, wait
}

// scan asks for a guild to be searched for members who have not been asked about.
func (s *asks) scan(g discord.GuildID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(s.guilds, g) {
		s.guilds = append(s.guilds, g)
	}
	nudge(s.found)
}

// scans removes and returns the guilds to be searched.
func (s *asks) scans() []discord.GuildID {
	s.mu.Lock()
	defer s.mu.Unlock()
	guilds := s.guilds
	s.guilds = nil
	return guilds
}

func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// backoff is the default wait after a failed try.
func backoff(try int) time.Duration {
	d := min(time.Second<<min(try-1, 20), 10*time.Minute)
	return d/2 + rand.N(d/2+1)
}

type questions []*question

func (q questions) Len() int           { return len(q) }
func (q questions) Less(i, j int) bool { return q[i].due.Before(q[j].due) }
func (q questions) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].place, q[j].place = i, j
}

func (q *questions) Push(x any) {
	n := x.(*question)
	n.place = len(*q)
	*q = append(*q, n)
}

func (q *questions) Pop() any {
	old := *q
	n := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	return n
}
