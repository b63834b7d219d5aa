package bot

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/sim"
	"tidings/sim/simtest"
)

// The work of twenty processes in three, while Discord refuses, fails and lies. By the simulator's own record no second has more
// than 50 requests, refused ones too; no bucket is asked more often than it allows but for what was injected and what a lie
// costs until it is found out; and what is refused stays far below what Discord bans an address for. Without a token nothing is asked.
func TestProcessesTogetherKeepToTheLimitsWhileDiscordFails(t *testing.T) {
	t.Parallel()
	d := simtest.Start(t, sim.Options{Rand: 7, OnExchange: func(sim.Exchange) {}})
	owner := d.Person("owner")
	var names []string
	for i := range 60 {
		names = append(names, fmt.Sprint("c", i))
	}
	g := d.Guild("Harbour", owner, nil, names, nil)
	rests, _ := sharing(t, 3, d.URL, d.Bot.Token)
	const page, one = "GET /channels/{channel_id}/messages", "GET /channels/{channel_id}"
	fault := func(kind, route string, n int, args simtest.Object) {
		t.Helper()
		d.Sim200("POST", "/sim/faults", simtest.Object{"kind": kind, "args": args, "count": n, "match": simtest.Object{"route": route}}, nil)
	}
	var log requestLog
	read := func() requestLog {
		log = requestLog{}
		d.Sim200("GET", "/sim/log", nil, &log)
		log.Requests = slices.DeleteFunc(log.Requests, func(r struct {
			At     time.Time `json:"at"`
			Method string    `json:"method"`
			Route  string    `json:"route"`
			Bucket string    `json:"bucket"`
			Status int       `json:"status"`
			Who    string    `json:"who"`
		}) bool {
			return r.Who != "bot"
		})
		return log
	}
	answers := func(status int) (n int) {
		for _, r := range log.Requests {
			if r.Status == status {
				n++
			}
		}
		return n
	}

	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	work := func(ctx context.Context) {
		for p, r := range rests {
			for w := range 20 {
				wg.Go(func() {
					for i := w; ctx.Err() == nil; i++ {
						c := discord.ChannelID(mustID(g.Channel(names[(i*7+p*13)%len(names)])))
						var err error
						if i%3 == 0 {
							_, err = r.Channel(ctx, c)
						} else {
							_, err = r.Messages(Background(ctx), c, PageQuery{})
						}
						switch {
						case err == nil, ctx.Err() != nil, errors.Is(err, tidings.ErrForbidden), errors.Is(err, tidings.ErrNotFound), errors.Is(err, tidings.ErrUnavailable):
						case errors.Is(err, tidings.ErrUnauthorized):
							return
						default:
							t.Errorf("process %d: %v", p, err)
							return
						}
					}
				})
			}
		}
	}
	// Each kind in its turn begins once the one before has struck, so that the machine's pace does not matter.
	work(ctx)
	const tooMany, forbidden, unknown, failed, blocked = 15, 10, 30, 20, 2
	struck := func(what string, done func() bool) {
		t.Helper()
		for read(); !done(); read() {
			select {
			case <-ctx.Done():
				t.Fatalf("still not: %s", what)
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
	fault("status", page, tooMany, simtest.Object{"status": 429, "retry_after": 0.2})
	struck("429s", func() bool { return answers(429) >= tooMany })
	fault("status", page, forbidden, simtest.Object{"status": 403, "code": 50001})
	fault("status", one, unknown, simtest.Object{"status": 404, "code": 10003})
	fault("status", one, failed, simtest.Object{"status": 502})
	struck("403, 404 and 502", func() bool { return answers(403) >= forbidden && answers(404) >= unknown && answers(502) >= failed })
	fault("cloudflare_1015", page, blocked, simtest.Object{"retry_after": 1})
	struck("1015", func() bool { return answers(429) >= tooMany+blocked })
	honest := answers(429)
	fault("lying_headers", page, 60, simtest.Object{})
	asked := len(log.Requests)
	struck("enough with lies", func() bool { return len(log.Requests) >= asked+60 })
	fault("status", "", 0, simtest.Object{"status": 401}) // the token is taken away
	wg.Wait()                                             // everybody has been told of the 401

	read()
	// What was answered before may be noted after the first 401, so that a few more go out to see.
	if n := answers(401); n == 0 || n > 20 {
		t.Errorf("%d requests were answered 401, want the first few, after which nothing is asked", n)
	}
	at := make([]time.Time, 0, len(log.Requests))
	for _, r := range log.Requests {
		at = append(at, r.At)
	}
	slices.SortFunc(at, time.Time.Compare)
	most, from := 0, 0
	for i := range at {
		for at[i].Sub(at[from]) >= time.Second {
			from++
		}
		most = max(most, i-from+1)
	}
	t.Logf("%d requests, at most %d in a second; %d refused: %d of 429 where %d were injected before the lies", len(log.Requests), most, log.Invalid, answers(429), tooMany+blocked)
	if most > 50 {
		t.Errorf("%d requests in one second, want at most 50", most)
	}
	if honest > tooMany+blocked {
		t.Errorf("%d answers of 429 before any lie, want the %d that were injected", honest, tooMany+blocked)
	}
	if log.Invalid >= 100 {
		t.Errorf("%d refused requests, want less than 100", log.Invalid)
	}
}
