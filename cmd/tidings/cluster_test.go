package main

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tidings/embedded/testdb"
	"tidings/sim"
	"tidings/sim/simtest"
)

// clusterVariable makes the run on several processes as large as docs/TESTING.md says.
const clusterVariable = "TIDINGS_CLUSTER"

type clusterSize struct {
	guilds, people, devices, jobs int
	every, between                time.Duration
}

// Processes for the web, the gateway and jobs on one Redis Cluster and one Postgres, readers at many sockets, and people who talk all the time. Each
// process is killed in turn, then a Redis master, then Postgres is restarted, then the web processes are restarted in good order one after the other.
// Each time, when the part is back, every socket comes to show the truth; in the end no message is missing, and nobody was told of
// a channel that they may not see.
func TestEveryPartDiesInTurn(t *testing.T) {
	size := clusterSize{guilds: 4, people: 50, devices: 4, jobs: 1, every: 50 * time.Millisecond, between: time.Second}
	o := sim.Options{Shards: 4, RequireShards: true, MaxConcurrency: 4, NoRateLimits: true}
	full := os.Getenv(clusterVariable) != ""
	if full {
		size = clusterSize{guilds: 8, people: 1000, devices: 3, jobs: 2, every: 100 * time.Millisecond, between: 5 * time.Second}
		// What Discord describes is held to elsewhere; here it would take most of the machine.
		o.OnExchange, o.OnEvent = func(sim.Exchange) {}, func(string, []byte) {}
	}
	d := simtest.Start(t, o)
	redis, postgres := testdb.RedisCluster(t, 3), testdb.RestartablePostgres(t)
	base := configFor(t, d)
	base.DatabaseURL, base.RedisURL, base.EncryptionKey = postgres.URL(), redis.URL(), "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	w := newCrowd(t, d, size.guilds, size.people)
	w.enroll(base)

	var places []string
	process := func(role string) *child {
		c := *base
		c.Roles, c.DataDir, c.Listen = []string{role}, t.TempDir(), freeAddress(t)
		if role == "web" {
			places = append(places, "http://"+c.Listen)
		}
		return spawn(t, &c)
	}
	var all []*child
	for range 2 {
		all = append(all, process("gateway"))
	}
	for range size.jobs {
		all = append(all, process("jobs"))
	}
	for range 3 {
		all = append(all, process("web"))
	}
	webs := all[len(all)-3:]
	ready := func(p *child) {
		t.Helper()
		s := &service{t: t, url: "http://" + p.c.Listen}
		eventually(t, "a web process is ready", time.Minute, func() bool {
			status, _, err := s.try(credential{}, "GET", "/readyz", nil)
			return err == nil && status == http.StatusOK
		})
	}
	for _, p := range webs {
		ready(p)
	}
	type begun struct{ Identifies, Resumes int }
	sessions := func() (log begun) {
		d.Sim200("GET", "/sim/log", nil, &log)
		return log
	}
	eventually(t, "all shards are connected", time.Minute, func() bool { return sessions().Identifies >= 4 })

	// Everybody comes. For where each person's history begins nothing may be said before.
	told := &arrivals{}
	browser := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 20}}
	defer browser.CloseIdleConnections()
	ctx, leave := context.WithCancel(context.Background())
	var gone sync.WaitGroup
	defer gone.Wait()
	defer leave()
	var sockets []*crowdSocket
	for _, p := range w.people {
		for range size.devices {
			s := &crowdSocket{of: p, places: &places, http: browser, crowd: w, told: told}
			sockets = append(sockets, s)
			gone.Go(func() { s.run(ctx) })
		}
	}
	stopTraffic := func() {}
	defer func() { stopTraffic() }()
	goOn := func() { stopTraffic = w.traffic(size.every) }
	// settle lets nothing more be said and waits until every socket shows the truth.
	settle := func(what string) time.Duration {
		t.Helper()
		back := time.Now()
		stopTraffic()
		for n, first := -1, ""; n != 0; <-time.After(50 * time.Millisecond) {
			if n, first = wrongs(w, sockets); n > 0 && time.Since(back) > 2*time.Minute {
				t.Fatalf("two minutes after %s %d of %d sockets do not show the truth:\n%s", what, n, len(sockets), first)
			}
		}
		took := time.Since(back)
		t.Logf("%-40s every socket shows the truth after %5.1f s", what, took.Seconds())
		if full && took > 10*time.Second {
			t.Errorf("%s: it took longer than 10 s", what)
		}
		return took
	}
	settle("everybody has come at once")
	t.Logf("%d sockets of %d people came; the database was asked for %d summaries", len(sockets), len(w.people), summariesOf(t, places, -1))
	goOn()
	mark := func() {
		for i := 0; i < len(sockets); i += 7 {
			w.mark(sockets[i])
		}
	}
	mark()
	settle("some was read")
	goOn()

	for _, p := range all {
		<-time.After(size.between)
		p.kill()
		<-time.After(size.between)
		p.start()
		if p.c.does("web") {
			ready(p)
		}
		settle(strings.Join(p.c.Roles, "") + " was killed and is back")
		goOn()
		mark()
	}
	<-time.After(size.between)
	master := redis.Masters()[0]
	redis.Kill(master)
	<-time.After(size.between)
	eventually(t, "a replica has taken its master's place", time.Minute, func() bool { return len(redis.Masters()) == 3 })
	settle("a Redis master was killed and replaced")
	goOn()
	redis.Start(master)
	mark()
	settle("the Redis node is back")
	goOn()
	<-time.After(size.between)
	postgres.Stop()
	<-time.After(size.between)
	postgres.Start()
	settle("Postgres was restarted")
	goOn()
	mark()

	// A rolling restart.
	for i, p := range webs {
		settle("before a restart in good order")
		goOn()
		<-time.After(size.between)
		before := summariesOf(t, places, i)
		told.reset()
		if err := p.end(); err != nil {
			t.Errorf("a web process that was asked to end: %v", err)
		}
		p.start()
		ready(p)
		settle("web was restarted in good order")
		eventually(t, "those who were told to come back have", time.Minute, func() bool { n, _, hinted, _ := told.sums(); return n >= hinted && hinted > 0 })
		n, resumed, hinted, over := told.sums()
		asked := summariesOf(t, places, -1) - before
		t.Logf("%d sockets were told when to come back; %d came, spread over %.1f s, %d resumed; the database was asked for %d summaries", hinted, n, over.Seconds(), resumed, asked)
		if over < 5*time.Second {
			t.Errorf("they came back within %v, want at least 5 s", over)
		}
		if asked > n-resumed {
			t.Errorf("%d summaries were asked for; %d came back and %d of them resumed", asked, n, resumed)
		}
		// To those who are not of the crew channels open and shut meanwhile, and people read, after which nothing can be resumed
		// until the next heartbeat.
		if resumed < n/5 {
			t.Errorf("only %d of %d resumed", resumed, n)
		}
		goOn()
	}
	// Gateway processes that are asked to end go with 0 and leave their sessions to whoever runs the shards next: all go on, nothing begins anew.
	before := sessions()
	for _, p := range all[:2] {
		settle("before a gateway process is asked to end")
		goOn()
		if err := p.end(); err != nil {
			t.Errorf("a gateway process that was asked to end: %v", err)
		}
		eventually(t, "the other gateway process runs all shards", time.Minute, func() bool { return fmt.Sprint(shardsRun(t, base.DatabaseURL)) == "[4]" })
		p.start()
		settle("gateway was restarted in good order")
		goOn()
		// Who comes back is handed its share of the shards.
		eventually(t, "each gateway process runs two of the four shards", 2*time.Minute, func() bool { return fmt.Sprint(shardsRun(t, base.DatabaseURL)) == "[2 2]" })
		settle("it was handed half of the shards")
		goOn()
	}
	after := sessions()
	t.Logf("%d sessions were resumed, %d were begun", after.Resumes-before.Resumes, after.Identifies-before.Identifies)
	if after.Resumes < before.Resumes+4 || after.Identifies > before.Identifies {
		t.Errorf("%d sessions were resumed and %d begun, want those of the four shards resumed, and none begun", after.Resumes-before.Resumes, after.Identifies-before.Identifies)
	}
	settle("in the end")

	leave()
	gone.Wait()
	for _, s := range sockets {
		w.judge(s)
	}
	if len(w.faults) > 0 {
		t.Errorf("%d times what must not be, first:\n%s", len(w.faults), strings.Join(w.faults[:min(10, len(w.faults))], "\n"))
	}
	(&stage{t: t, d: d}).settle(base.DatabaseURL, time.Minute)
	said := 0
	for _, c := range w.byID {
		said += len(c.said)
	}
	t.Logf("%d messages, none is missing; %d sockets of %d people", said, len(sockets), len(w.people))
}

// shardsRun is how many shards each gateway process runs that runs some.
func shardsRun(t *testing.T, url string) (n []int) {
	t.Helper()
	db, err := sql.Open("postgres", url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query(`SELECT count(*) FROM gateway_sessions WHERE lease_until > now() AND listening GROUP BY owner ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		n = append(n, 0)
		if err := rows.Scan(&n[len(n)-1]); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// summariesOf adds up how often the web processes have asked the database for all of a person's counts because a socket came, without the one that is left out. That
// access moved while they were read, so that they had to be read again, is no doing of the restart.
func summariesOf(t *testing.T, places []string, without int) (sum int) {
	t.Helper()
	for i, place := range places {
		if i == without {
			continue
		}
		resp, err := http.Get(place + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		lines := bufio.NewScanner(resp.Body)
		for lines.Scan() {
			if v, ok := strings.CutPrefix(lines.Text(), `tidings_hub_summaries_total{cause="snapshot"} `); ok {
				n, err := strconv.ParseFloat(v, 64)
				if err != nil {
					t.Fatal(err)
				}
				sum += int(n)
			}
		}
	}
	return sum
}

// end asks the process to end, waits until it has, and returns its complaint if it had one.
func (p *child) end() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	err := p.cmd.Wait()
	p.cmd = nil
	if err != nil {
		return fmt.Errorf("tidings: %w", err)
	}
	return nil
}
