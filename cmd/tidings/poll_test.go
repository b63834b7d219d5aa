package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings/bot"
	"tidings/sim"
	"tidings/sim/simtest"
	"tidings/store"
)

// botLog is what the simulator says of the bot's requests since a time.
type botLog struct {
	Identifies int `json:"identifies"`
	Invalid    int `json:"invalid_requests"`
	Requests   []struct {
		At     time.Time `json:"at"`
		Method string    `json:"method"`
		Route  string    `json:"route"`
		Bucket string    `json:"bucket"`
		Status int       `json:"status"`
		Who    string    `json:"who"`
	} `json:"requests"`
}

func logSince(d *simtest.Running, since time.Time) botLog {
	var l botLog
	d.Sim200("GET", "/sim/log?since="+since.UTC().Format("2006-01-02T15:04:05.000000000Z"), nil, &l)
	mine := l.Requests[:0]
	for _, r := range l.Requests {
		if r.Who == "bot" {
			mine = append(mine, r)
		}
	}
	l.Requests = mine
	return l
}

// count counts requests by route.
func (l botLog) count() map[string]int {
	n := map[string]int{}
	for _, r := range l.Requests {
		n[r.Method+" "+r.Route]++
	}
	return n
}

// polledGuilds makes the test of polling larger, as in: go test ./cmd/tidings -run PollingAlone -polled-guilds 200
var polledGuilds = flag.Int("polled-guilds", 16, "servers of 50 channels each that are polled")

// Without a gateway, news of many servers is found with two requests a server and one for each channel that moved.
func TestPollingAloneFindsNewsWithFewRequests(t *testing.T) {
	t.Parallel()
	const channels = 50
	guilds := *polledGuilds
	interval := max(6*time.Second, time.Duration(guilds)*125*time.Millisecond)
	d := simtest.Start(t, sim.Options{OnExchange: func(sim.Exchange) {}})
	owner, reader := d.Person("owner"), d.Person("reader")
	var names []string
	for i := range channels {
		names = append(names, fmt.Sprint("c", i))
	}
	var all []simtest.Guild
	for i := range guilds {
		all = append(all, d.Guild(fmt.Sprint("G", i), owner, []simtest.Person{reader}, names, nil))
	}
	c := configFor(t, d)
	c.Gateway, c.PollSchedule = "off", fmt.Sprintf("@every %s", interval)
	c.HistoryDays = 0 // A first backfill makes requests of its own.
	s := start(t, c)
	eventually(t, "every server has been looked at twice", 3*time.Minute, func() bool {
		seen := map[string]int{}
		twice := 0
		for _, r := range logSince(d, time.Time{}).Requests {
			if r.Route == "/guilds/{guild_id}/threads/active" {
				if seen[r.Bucket]++; seen[r.Bucket] == 2 {
					twice++
				}
			}
		}
		return twice == guilds
	})
	me := credential{token: makeToken(t, c, reader.ID)}
	eventually(t, "the reader sees every channel", 2*time.Minute, func() bool { return len(s.unread(me).channels()) == guilds*channels })

	db := database(t, c)
	eventually(t, "what is done once for each new channel is done", 3*time.Minute, func() bool {
		var open int
		if err := db.Get(&open, `SELECT count(*) FROM jobs WHERE state IN ('ready', 'running') AND kind NOT IN ('poll', 'poll-guild')`); err != nil {
			t.Fatal(err)
		}
		return open == 0
	})

	said := time.Now()
	want := map[string]string{}
	for i := range guilds * channels / 100 {
		m := d.Say(owner, all[i*7%guilds].Channel(names[i*3%channels]), fmt.Sprint("news ", i))
		want[m["id"].(string)] = m["channel_id"].(string)
	}
	eventually(t, "the news is in the feed", 2*interval+10*time.Second, func() bool {
		var feed struct {
			Messages []struct {
				ID      string `json:"id"`
				Channel string `json:"channel"`
			} `json:"messages"`
		}
		s.call(me, "GET", "/api/feed?filter=unread&limit=100", nil, &feed)
		found := 0
		for _, m := range feed.Messages {
			if want[m.ID] == m.Channel {
				found++
			}
		}
		return found == len(want)
	})

	// Two whole intervals, the first of them with the news.
	eventually(t, "two intervals have passed", 2*time.Minute, func() bool {
		return logSince(d, said).count()["GET /guilds/{guild_id}/channels"] >= 3*guilds
	})
	log := logSince(d, said)
	n := log.count()
	rounds := n["GET /guilds/{guild_id}/channels"]
	if most := guilds * (3 + int(time.Since(said)/interval)); rounds > most {
		t.Errorf("channels were listed %d times in %s, want at most %d", rounds, time.Since(said), most)
	}
	t.Logf("%d servers, an interval of %s: %d requests in %s, %d of them for servers' channels, %d for threads, %d pages of the %d channels that moved", guilds, interval,
		len(log.Requests), time.Since(said).Round(time.Second), rounds, n["GET /guilds/{guild_id}/threads/active"], n["GET /channels/{channel_id}/messages"], len(want))
	if got := n["GET /guilds/{guild_id}/threads/active"]; got > rounds || got < rounds-4 {
		t.Errorf("threads were asked for %d times and channels %d times, want as often", got, rounds)
	}
	read := map[string]bool{}
	for _, r := range log.Requests {
		if r.Route == "/channels/{channel_id}/messages" {
			read[r.Bucket] = true
		}
	}
	// The feed that is asked for above may read a channel ahead of the poll's own job, which then reads it as well.
	if pages := n["GET /channels/{channel_id}/messages"]; len(read) != len(want) || pages > 2*len(want) {
		t.Errorf("%d pages of %d channels were read, want those of the %d channels that moved", pages, len(read), len(want))
	}
	for route, times := range n {
		switch route {
		case "GET /guilds/{guild_id}/channels", "GET /guilds/{guild_id}/threads/active", "GET /channels/{channel_id}/messages":
		default:
			// Enrolment of the reader may still be at work.
			if !strings.HasPrefix(route, "GET /guilds/{guild_id}/members/") {
				t.Errorf("%s was asked for %d times, want none", route, times)
			}
		}
	}
	if log.Identifies > 0 || log.Invalid > 0 {
		t.Errorf("%d sessions and %d refused requests, want none", log.Identifies, log.Invalid)
	}
}

// Without a gateway, a server that the bot joins, a channel that is made, and one that the bot may not read are all seen.
func TestPollingAloneLearnsServersAndChannels(t *testing.T) {
	t.Parallel()
	d := simtest.Start(t, sim.Options{})
	owner, reader := d.Person("owner"), d.Person("reader")
	g := d.Guild("Harbour", owner, []simtest.Person{reader}, []string{"general", "hidden"}, nil)
	hidden := g.Channel("hidden")
	d.Must(owner.Token, "PUT", "/channels/"+hidden+"/permissions/"+g.ID, simtest.Object{"type": 0, "deny": "1024"}, nil)
	c := configFor(t, d)
	c.Gateway, c.PollSchedule = "off", "@every 1s"
	s := start(t, c)
	me := credential{token: makeToken(t, c, reader.ID)}
	eventually(t, "the reader sees the channel", 30*time.Second, func() bool { return len(s.unread(me).channels()) == 1 })
	d.Say(owner, hidden, "psst")
	d.Say(owner, g.Channel("general"), "hello")
	eventually(t, "the message is unread", 20*time.Second, func() bool { return s.unread(me).Total == 1 })

	var made simtest.Object
	d.Must(owner.Token, "POST", "/guilds/"+g.ID+"/channels", simtest.Object{"name": "new", "type": 0}, &made)
	d.Say(owner, made["id"].(string), "first")
	eventually(t, "the new channel's message is unread", 20*time.Second, func() bool { return s.unread(me).Total == 2 })
	var thread simtest.Object
	d.Must(owner.Token, "POST", "/channels/"+g.Channel("general")+"/threads", simtest.Object{"name": "aside", "type": 11}, &thread)
	d.Say(owner, thread["id"].(string), "in the thread")
	eventually(t, "the thread's message is unread", 20*time.Second, func() bool { return s.unread(me).channels()[thread["id"].(string)].Unread == 1 })
	if l := logSince(d, time.Time{}); l.Invalid > 0 {
		t.Errorf("%d requests were refused, want the hidden channel let alone", l.Invalid)
	}
}

func TestWhatIsWrongWithTheSourcesIsSaidAtOnce(t *testing.T) {
	t.Parallel()
	key := strings.Repeat("ab", 32)
	c := &Config{
		DiscordToken: "x", DiscordURL: "https://discord.com", RetentionDays: 1, Roles: []string{"jobs"},
		DiscordPublicKey: "nonsense", PollSchedule: "every minute",
		RelayKeys: []string{"ok:" + key + ":1234,5678", "discord:" + key, "Shouting:" + key, "short:abcd", "guild:" + key + ":x", "ok:" + key},
	}
	said := strings.Join(c.faults(), "\n")
	for _, want := range []string{"DISCORD_PUBLIC_KEY", "POLL_SCHEDULE", `"discord": this name`, `"Shouting": a name`, `"short": its key`, `"guild": "x"`, `"ok": the name is given twice`} {
		if !strings.Contains(said, want) {
			t.Errorf("faults() do not say %s:\n%s", want, said)
		}
	}
	c.DiscordPublicKey, c.PollSchedule, c.RelayKeys = key, "*/2 * * * *", []string{"ok:" + key + ":1234,5678", "other:" + key}
	if f := c.faults(); len(f) > 0 {
		t.Errorf("faults() = %q, want none", f)
	}
	if r, _ := parseRelays(c.RelayKeys); len(r) != 2 || len(r[0].Guilds) != 2 || len(r[1].Guilds) != 0 {
		t.Errorf("parseRelays() = %+v", r)
	}
}

// The status shows how much of what Discord allows is used.
func TestTheStatusShowsTheBudget(t *testing.T) {
	t.Parallel()
	d := simtest.Start(t, sim.Options{})
	owner := d.Person("owner")
	d.Guild("Harbour", owner, nil, []string{"general"}, nil)
	c := configFor(t, d)
	me := credential{token: makeToken(t, c, owner.ID)}
	s := start(t, c)
	eventually(t, "the budget is shown", 20*time.Second, func() bool {
		var st struct {
			Requests struct {
				Shared  bool `json:"shared"`
				Allowed int  `json:"allowed"`
			} `json:"requests"`
		}
		return s.call(me, "GET", "/api/status", nil, &st) == http.StatusOK && st.Requests.Shared && st.Requests.Allowed > 0
	})
}

// While a shard of this process has no session its servers are polled, and what people write is read all the same.
func TestServersOfAShardThatIsDownArePolled(t *testing.T) {
	t.Parallel()
	d := simtest.Start(t, sim.Options{})
	owner, reader := d.Person("owner"), d.Person("reader")
	g := d.Guild("Harbour", owner, []simtest.Person{reader}, []string{"general"}, nil)
	c := configFor(t, d)
	c.PollSchedule = "@every 1s"
	me := credential{token: makeToken(t, c, reader.ID)}
	s := start(t, c)
	eventually(t, "the reader sees the channel", 30*time.Second, func() bool { return len(s.unread(me).channels()) == 1 })
	eventually(t, "the gateway has a session", 30*time.Second, func() bool {
		var st struct{ Gateway string }
		return s.call(me, "GET", "/api/status", nil, &st) == http.StatusOK && st.Gateway == "on"
	})
	d.Say(owner, g.Channel("general"), "over the gateway")
	eventually(t, "the gateway's message is unread", 20*time.Second, func() bool { return s.unread(me).Total == 1 })

	// From now on every connection is cut before HELLO.
	d.Sim200("POST", "/sim/faults", simtest.Object{"kind": "drop", "count": 1_000_000}, nil)
	began := time.Now()
	d.Say(owner, g.Channel("general"), "while the shard is down")
	eventually(t, "the message is read although the shard is down", time.Minute, func() bool { return s.unread(me).Total == 2 })
	eventually(t, "the server is polled", time.Minute, func() bool {
		return logSince(d, began).count()["GET /guilds/{guild_id}/channels"] > 0
	})
}

func TestOnlyAShardThatStaysDownIsPolledFor(t *testing.T) {
	t.Parallel()
	states := make(chan string, 1)
	state := "ready"
	jobs := make(chan []store.NewJob, 100)
	w := &shardWatch{
		status: func() bot.Status {
			select {
			case state = <-states:
			default:
			}
			return bot.Status{Shards: []bot.ShardStatus{{Shard: 0, State: "ready"}, {Shard: 1, State: state}}}
		},
		guilds: func(context.Context) ([]discord.GuildID, error) {
			return []discord.GuildID{2 << 22, 3 << 22, 5 << 22}, nil
		},
		enqueue: func(_ context.Context, j ...store.NewJob) (int, error) {
			jobs <- j
			return len(j), nil
		},
		every: 5 * time.Millisecond, after: 20 * time.Millisecond, look: time.Millisecond, log: slog.New(slog.DiscardHandler),
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- w.Run(ctx) }()
	states <- "resuming"
	for range 2 { // It goes on while the shard is down.
		got := <-jobs
		if len(got) != 2 || got[0].Key != discord.GuildID(3<<22).String() || got[1].Key != discord.GuildID(5<<22).String() {
			t.Errorf("polls %+v, want those of the two servers of shard 1", got)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run() = %v", err)
	}
}
